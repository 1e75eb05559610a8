"""A program in which threads wait for what only the kernel knows: sockets, pipes, file locks, children, C libraries.

Prints the tids by name, descriptors, the number of the child that is spoken to, and the path of the locked file.
"""

import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from settled import settled

LONG = 1000
folder = tempfile.mkdtemp()
sys.path.insert(0, folder)
with open(folder + "/slow_module.py", "w") as module:
    module.write("import time\ntime.sleep(1000)\n")
near, far = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
read_end, write_end = os.pipe()
libc = ctypes.CDLL(None)
semaphore = ctypes.create_string_buffer(64)
libc.sem_init(semaphore, 0, 0)


class Peer:
    def __init__(self, sock):
        self.sock = sock

    def serves(self):
        time.sleep(LONG)
        self.sock.send(b"x")


def asks():
    near.recv(1)


def tcp_client():
    connection = socket.create_connection(listener.getsockname())
    connection.recv(1)


def tcp_server():
    connection, _ = listener.accept()
    connection.recv(1)


def lonely():
    os.read(read_end, 1)


def locks_number():
    number = os.open(folder + "/lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(number, fcntl.LOCK_EX)
    time.sleep(LONG)


def wants_lock():
    with open(folder + "/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def waits_for_child():
    # Another thread than the first one, which waits for its end: so does a process that has filled a queue.
    program = "import sys, threading; threading.Thread(target=sys.stdout.write, args=('x' * 1000000,)).start()"
    writes = [sys.executable, "-c", program]
    subprocess.Popen(writes, stdout=subprocess.PIPE).wait()


def reads_child():
    spoken_to.stdout.read(1)


def native():
    libc.sem_wait(semaphore)


def imports():
    import slow_module  # noqa: F401


def imports_too():
    import slow_module  # noqa: F401


threads = {}


def start(*functions):
    for function in functions:
        threads[function.__name__] = threading.Thread(target=function, daemon=True)
        threads[function.__name__].start()


start(Peer(far).serves, locks_number, imports)
settled()
start(asks, tcp_client, tcp_server, lonely, wants_lock, waits_for_child, native, imports_too)
quiet = [sys.executable, "-c", "import sys; print('x', flush=True); sys.stdin.read()"]
spoken_to = subprocess.Popen(quiet, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
spoken_to.stdout.readline()
start(reads_child)
print("ready")
tids = {name: thread.native_id for name, thread in threads.items()}
print(json.dumps([tids, [near.fileno(), far.fileno(), read_end, write_end], spoken_to.pid, folder]), flush=True)
time.sleep(LONG)
