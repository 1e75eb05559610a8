#!/usr/bin/env bash
# A listening socket's count of drops grows by one with each client that is served, and no queue has ever been full.
#
# The guess: since Linux 4.6 a socket that listens counts in sk_drops (the `d` of `ss -m`, SK_MEMINFO_DROPS of sock_diag)
# who was turned away because its queue was full; so `d` is for one socket what TcpExtListenOverflows and ListenDrops are
# for all. A count that grows says that the backlog is too small.
# What happens: with TCP_DEFER_ACCEPT, which uWSGI and Apache set by themselves, the kernel drops the handshake's last
# packet on purpose, to wait for the request, and counts that at the listening socket. 50 clients, all of them answered,
# make 50 drops, with an empty queue and both counters of overflows where they were. Without the option the same clients
# make none. Only the counters of the network namespace tell whether somebody was turned away, not at which socket: both
# are needed.
# Seen on Linux 6.18, x86-64, iproute2 6.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v ss >/dev/null || { echo "ss (iproute2) is not here"; exit 77; }

cat > "$work/serve.py" <<'PY'
import re, socket, subprocess, sys

CLIENTS = 50
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
if sys.argv[1] == "deferred":
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 4)
port = listener.getsockname()[1]

def drops():
    told = subprocess.run(["ss", "-Htlmn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\bd(\d+)\)", told)[1])

def overflows():
    names, values = [line.split() for line in open("/proc/net/netstat") if line.startswith("TcpExt:")]
    return [int(values[names.index(name)]) for name in ("ListenOverflows", "ListenDrops")]

before, full = drops(), overflows()
answered = 0
for _ in range(CLIENTS):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"hello")
    accepted, _ = listener.accept()
    accepted.sendall(accepted.recv(100))
    answered += client.recv(100) == b"hello"
    accepted.close(); client.close()
print(answered, drops() - before, *[now - then for now, then in zip(overflows(), full)])
PY
ss -V
for how in plain deferred; do
  read -r answered dropped overflows turned < <(python3 "$work/serve.py" "$how")
  echo "$how: $answered of 50 clients answered, $dropped drops of the socket, $overflows overflows and $turned turned away anywhere"
  declare "$how=$answered $dropped"
done
[[ $plain == "50 0" && $deferred == "50 50" ]]
