#!/usr/bin/env bash
# Which process has the server's side of a connection that is established but not accepted? None, says the kernel.
#
# The guess: once connect() has returned and both sides are ESTABLISHED, the server's side belongs to the process that
# listens; its inode is found among that process's descriptors, and `ss -p` names the process.
# What happens: until accept() there is no file, so the server's side is listed with inode 0 and `ss -p` shows no user for
# it, though the client can send and the bytes are counted as received there. A tool that follows a client's wait to the
# other end by inode finds nobody just when the server is too busy to accept, the very case in which it is asked. What
# leads on is the socket that listens at that address: its receive queue (Recv-Q of `ss -ltn`) is the number of
# connections that nobody has accepted. On a Unix socket the client's peer is 0, too, and only the listening socket tells
# (UNIX_DIAG_ICONS) which clients wait at it.
# Seen on Linux 6.18, x86-64, iproute2 6.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
command -v ss >/dev/null || { echo "ss (iproute2) is not here"; exit 77; }

cat > "$work/both.py" <<'PY'
import socket, sys, time

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
client.sendall(b"hello")
open(sys.argv[1], "w").write(f"{listener.getsockname()[1]} {client.getsockname()[1]}\n")
while not sys.stdin.readline():
    pass
accepted, _ = listener.accept()
open(sys.argv[2], "w").write("accepted\n")
time.sleep(60)
PY
mkfifo "$work/go"
python3 "$work/both.py" "$work/ports" "$work/accepted" < "$work/go" &
server=$!
exec 9> "$work/go"
until [[ -s $work/ports ]]; do sleep 0.05; done
read -r listens calls < "$work/ports"

side() { ss -Htnpe state established "( sport = :$listens and dport = :$calls )"; }
waiting() { ss -Hltn "( sport = :$listens )" | awk '{ print $2 }'; }
before=$(side) queue=$(waiting)
echo >&9
until [[ -s $work/accepted ]]; do sleep 0.05; done
after=$(side) later=$(waiting)

ss -V
tell() { echo "$1: received $(awk '{ print $1 }' <<< "$2") bytes, $(grep -oE 'users:\(\("[a-z0-9.]+"' <<< "$2" || echo 'no process'), $(grep -oE 'ino:[1-9]' <<< "$2" > /dev/null && echo 'an inode' || echo 'inode 0')"; }
tell "server's side before accept" "$before"
tell "server's side after accept" "$after"
echo "receive queue of the socket that listens: $queue before, $later after"
[[ $before == "5 "* && $before != *users* && $after == *users* && $queue == 1 && $later == 0 ]]
