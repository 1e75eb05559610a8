import threading
import time

stop = threading.Event()
lock = threading.Lock()


def wait_here():
    with lock:
        pass


def work():
    while not stop.is_set():
        sum(range(2000))
        time.sleep(0.02)


lock.acquire()
threading.Thread(target=wait_here, name="waiting", daemon=True).start()
threading.Thread(target=work, name="working", daemon=True).start()
print("ready", flush=True)
time.sleep(600)
