"""A program whose threads block in every way there is, and say beforehand what they will block on.

Runs under every Python from 3.8. Prints 'ready', then one JSON object: name -> {tid, fd, peer}.
"""

SOURCE = r"""
import ctypes, fcntl, json, multiprocessing, os, queue, select, signal, socket, subprocess, sys, tempfile, threading
import time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
folder = os.path.dirname(os.path.abspath(__file__))
libc = ctypes.CDLL(None)
facts, keep, LONG = {}, [], 100000

def say(fd=None, peer=None):
    facts[threading.current_thread().name].update(fd=fd, peer=peer, said=True)

def name(address):
    return "%s:%d" % address[:2]

def tcp():
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(1)
    client = socket.create_connection(server.getsockname())
    keep.extend([server, client, server.accept()[0]])
    return client, name(client.getpeername())

def sleep(): time.sleep(LONG)

def recv():
    s, peer = tcp(); say(s.fileno(), peer); s.recv(10)

def recv_timeout():
    s, peer = tcp(); say(s.fileno(), peer); s.settimeout(9999); s.recv(10)

def send_full():
    s, peer = tcp(); say(s.fileno(), peer); s.sendall(b"x" * 50_000_000)

def recv_six():
    server = socket.socket(socket.AF_INET6); server.bind(("::1", 0)); server.listen(1); keep.append(server)
    s = socket.socket(socket.AF_INET6); s.connect(server.getsockname()); keep.append(s)
    say(s.fileno(), "[::1]:%d" % s.getpeername()[1]); s.recv(1)

def recv_mapped():
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(1); keep.append(server)
    s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    port = server.getsockname()[1]
    s.connect(("::ffff:127.0.0.1", port)); keep.append(s); say(s.fileno(), "127.0.0.1:%d" % port); s.recv(1)

def select_one():
    s, peer = tcp(); say(s.fileno(), peer); select.select([s], [], [])

def select_two():
    (a, one), (b, two) = tcp(), tcp(); say(-1, [one, two]); select.select([a, b], [], [], LONG)

def poll_one():
    s, peer = tcp(); say(s.fileno(), peer); p = select.poll(); p.register(s, 1); p.poll()

def poll_many():
    p = select.poll()
    for _ in range(5):
        r, w = os.pipe(); keep.append(w); p.register(r, 1)
    say(-1, ["pipe:", "+2"]); p.poll(10**9)

def epoll():
    s, peer = tcp(); e = select.epoll(); e.register(s, 1); say(e.fileno(), ["epoll of", peer]); e.poll()

def epoll_timeout():
    s, peer = tcp(); e = select.epoll(); e.register(s, 1); say(e.fileno(), ["epoll of", peer]); e.poll(LONG)

def accept():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1); say(s.fileno(), name(s.getsockname())); s.accept()

def connect():
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(0); keep.append(server)
    for _ in range(3):
        s = socket.socket(); s.setblocking(False); keep.append(s)
        try: s.connect(server.getsockname())
        except BlockingIOError: pass
    s = socket.socket(); keep.append(s); say(s.fileno(), name(server.getsockname())); s.connect(server.getsockname())

def udp():
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); say(s.fileno(), name(s.getsockname()))
    s.recv(1)

def dns():
    s = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.9", 53)); say(s.fileno(), "127.0.0.9:53 (dns)")
    p = select.poll(); p.register(s, 1); p.poll(10**9)

def unix():
    path = os.path.join(folder, "server.sock")
    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(1); say(s.fileno(), path); s.accept()

def pipe():
    r, w = os.pipe(); keep.append(w); say(r, os.readlink("/proc/self/fd/%d" % r)); os.read(r, 1)

def pipe_full():
    r, w = os.pipe(); keep.append(r); say(w, os.readlink("/proc/self/fd/%d" % r)); os.write(w, b"x" * 1_000_000)

def fifo_open():
    path = os.path.join(folder, "fifo1"); os.mkfifo(path); say(-1, path); os.open(path, os.O_RDONLY)

def fifo_open_to_write():
    path = os.path.join(folder, "fifo3"); os.mkfifo(path); say(-1, path); os.open(path, os.O_WRONLY)

def fifo_read():
    path = os.path.join(folder, "fifo2"); os.mkfifo(path)
    r = os.open(path, os.O_RDWR); say(r, path); os.read(r, 1)

def terminal():
    master, slave = os.openpty(); keep.append(master); say(slave, os.ttyname(slave)); os.read(slave, 1)

def eventfd():
    fd = libc.eventfd(0, 0); say(fd, "eventfd"); os.read(fd, 8)

def inotify():
    fd = libc.inotify_init(); say(fd, "inotify"); os.read(fd, 100)

def flock():
    path = os.path.join(folder, "flock")
    a = open(path, "w"); fcntl.flock(a, fcntl.LOCK_EX)
    b = open(path, "w"); keep.extend([a, b]); say(b.fileno(), path); fcntl.flock(b, fcntl.LOCK_EX)

def record_lock():
    path = os.path.join(folder, "lockf"); open(path, "w").write("x"); r, w = os.pipe()
    code = ("import fcntl,os,sys,time; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); "
            "time.sleep(99999)")
    p = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE); keep.append(p)
    p.stdout.readline()
    f = open(path, "r+"); keep.append(f); say(f.fileno(), path); fcntl.lockf(f, fcntl.LOCK_EX)

def child():
    p = subprocess.Popen(["sleep", "100000"]); say(-1, "sleep (pid %d)" % p.pid); p.wait()

def child_waitid():
    p = subprocess.Popen(["sleep", "100000"]); keep.append(p); say(-1, "sleep (pid %d)" % p.pid)
    os.waitid(os.P_PID, p.pid, os.WEXITED)

def child_timeout():
    p = subprocess.Popen(["sleep", "100000"]); say(None, None); p.wait(LONG)

def child_output():
    p = subprocess.Popen(["sleep", "100000"], stdout=subprocess.PIPE); keep.append(p)
    say(p.stdout.fileno(), os.readlink("/proc/self/fd/%d" % p.stdout.fileno())); p.communicate()

def system(): os.system("exec sleep 100000")

held = threading.Lock(); held.acquire()
def lock(): held.acquire()
def lock_timeout(): held.acquire(timeout=LONG)
condition = threading.Condition()
def cond():
    with condition: condition.wait()
def cond_timeout():
    with condition: condition.wait(LONG)
def queue_get(): queue.Queue().get()
def simple_queue_get(): queue.SimpleQueue().get()
def join(): threads[0].join()
def shared_semaphore():
    lock = multiprocessing.get_context("fork").Lock(); lock.acquire(); lock.acquire()
def sigwait(): signal.sigwait([signal.SIGUSR1])

threads = []
def begin(function):
    def run():
        facts[function.__name__]["tid"] = threading.get_native_id()
        try: function()
        except BaseException as error: print(function.__name__, repr(error), file=sys.stderr, flush=True)
    facts[function.__name__] = {"fd": None, "peer": None, "said": "say" not in function.__code__.co_names}
    thread = threading.Thread(target=run, daemon=True, name=function.__name__); thread.start(); threads.append(thread)

if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6").read(1):
    del recv_six
for function in [v for v in list(globals().values()) if hasattr(v, "__code__") and v.__code__.co_filename == __file__
                 and v not in (say, name, tcp, begin)]:
    begin(function)
while not all("tid" in fact and fact["said"] for fact in facts.values()):
    time.sleep(0.01)
print("ready", flush=True)
print(json.dumps(facts), flush=True)
sys.stdin.read()
"""

#: name -> (wait kinds allowed, system calls allowed, timed)
EXPECTED: dict[str, tuple[str, str, bool]] = {
    "sleep": ("sleep", "clock_nanosleep pselect6", True),
    "recv": ("io", "recvfrom", False),
    "recv_timeout": ("io", "poll ppoll", True),
    "send_full": ("io", "sendto", False),
    "recv_six": ("io", "recvfrom", False),
    "recv_mapped": ("io", "recvfrom", False),
    "select_one": ("io", "select pselect6", False),
    "select_two": ("io", "select pselect6", True),
    "poll_one": ("io", "poll ppoll", False),
    "poll_many": ("io", "poll ppoll", True),
    "epoll": ("io", "epoll_wait epoll_pwait", False),
    "epoll_timeout": ("io", "epoll_wait epoll_pwait", True),
    "accept": ("io", "accept4", False),
    "connect": ("io", "connect", False),
    "udp": ("io", "recvfrom", False),
    "dns": ("io", "poll ppoll", True),
    "unix": ("io", "accept4", False),
    "pipe": ("io", "read", False),
    "pipe_full": ("io", "write", False),
    "fifo_open": ("io", "open openat", False),
    "fifo_open_to_write": ("io", "open openat", False),
    "fifo_read": ("io", "read", False),
    "terminal": ("io", "read", False),
    "eventfd": ("io", "read", False),
    "inotify": ("io", "read", False),
    "flock": ("io", "flock", False),
    "record_lock": ("io", "fcntl", False),
    "child": ("child", "wait4", False),
    "child_waitid": ("child", "waitid", False),
    "child_timeout": ("sleep child", "clock_nanosleep pselect6 ppoll poll", True),
    "child_output": ("io", "read", False),
    "system": ("child", "wait4", False),
    "lock": ("futex", "futex", False),
    "lock_timeout": ("futex", "futex", True),
    "cond": ("futex", "futex", False),
    "cond_timeout": ("futex", "futex", True),
    "queue_get": ("futex", "futex", False),
    "simple_queue_get": ("futex", "futex", False),
    "join": ("futex", "futex", False),
    "shared_semaphore": ("futex", "futex", False),
    "sigwait": ("other", "rt_sigtimedwait", False),
}
