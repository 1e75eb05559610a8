#!/usr/bin/env bash
# A process answers on a Unix socket and closes it with something of the other side's still unread. Is the answer read?
#
# The guess: as with TCP and with Unix stream sockets, what has arrived is read first; after it recv() says ECONNRESET,
# once, because something was not read, and then the end.
# What happens: on a pair of SOCK_SEQPACKET sockets ECONNRESET comes first, ahead of an answer that had arrived before;
# whoever takes it for the end (as a reset is) loses the answer, which a second recv() would still give. On SOCK_STREAM,
# Unix and TCP alike, the answer comes first. So it depends on a race, too: only where the answer is read after the close.
# What follows: whoever tells something over SOCK_SEQPACKET and closes reads what is left there first; whoever listens
# reads once more after a reset. A supervisor that tells exit codes so would else lose those of children that it was just
# asked to end.
# Seen on Linux 6.18, x86-64.
set -euo pipefail
command -v python3 >/dev/null || { echo "python3 is not here"; exit 77; }
uname -sr
python3 - <<'PY'
import socket
import sys
import time


def reads(mine, other):
    """What three calls of recv() give, after the other side has answered and closed without reading."""
    mine.sendall(b"end it")
    time.sleep(0.2)
    other.sendall(b"exit code 0")
    time.sleep(0.2)
    other.close()
    time.sleep(0.2)
    found = []
    for _ in range(3):
        try:
            found.append(mine.recv(64).decode() or "the end")
        except ConnectionResetError:
            found.append("ECONNRESET")
    mine.close()
    return found


def tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


got = {
    "Unix SOCK_STREAM": reads(*socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)),
    "Unix SOCK_SEQPACKET": reads(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)),
    "TCP": reads(*tcp()),
}
for kind, calls in got.items():
    print(f"{kind:<20} {', then '.join(calls)}")
first = ["exit code 0", "ECONNRESET", "the end"]
expected = {"Unix SOCK_STREAM": first, "Unix SOCK_SEQPACKET": ["ECONNRESET", "exit code 0", "the end"], "TCP": first}
if got != expected:
    print("this is no longer so")
    sys.exit(1)
PY
