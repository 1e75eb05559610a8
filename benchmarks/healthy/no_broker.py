"""Clients of Kafka and MQTT whose brokers are not there."""

from __future__ import annotations

import logging
import threading
import time

NEEDS = ("kafka", "paho")

if __name__ == "__main__":
    import paho.mqtt.client as mqtt
    from kafka import KafkaConsumer

    logging.disable(logging.CRITICAL)

    def consume() -> None:
        while True:
            try:
                for _ in KafkaConsumer("topic", bootstrap_servers="127.0.0.1:9"):
                    pass
            except Exception:  # whatever this version of it raises
                time.sleep(1)

    threading.Thread(target=consume, name="consumer", daemon=True).start()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect_async("127.0.0.1", 9)
    client.loop_start()
    time.sleep(1)
    print("ready", flush=True)
    while True:
        time.sleep(1)
