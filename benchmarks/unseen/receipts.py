"""paho-mqtt: on_message publishes and waits for the acknowledgement, which only its own thread would read."""

import socket
import struct
import threading
import time
import _go
import paho.mqtt.client as mqtt

NEEDS = ("paho",)
EXPECT = "stuck"
srv = socket.create_server(("127.0.0.1", 0))


def broker():
    c, _ = srv.accept()
    c.recv(1000)
    c.sendall(b"\x20\x02\x00\x00")
    c.recv(1000)
    c.sendall(b"\x90\x03\x00\x01\x00")
    time.sleep(0.5)
    t, p = b"orders", b"1"
    c.sendall(b"\x30" + bytes([2 + len(t) + len(p)]) + struct.pack(">H", len(t)) + t + p)
    while c.recv(1000):
        pass


threading.Thread(target=broker, daemon=True, name="broker").start()
c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
c.on_connect = lambda *a: c.subscribe("orders")


def on_message(client, data, m):
    client.publish("receipts", b"ok", qos=1).wait_for_publish()


c.on_message = on_message
c.connect("127.0.0.1", srv.getsockname()[1])
c.loop_start()
_go.ready(4)
threading.Event().wait()
