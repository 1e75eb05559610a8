#!/bin/bash
# Sanic: the frame that runs every request names a file that does not exist.
#
# Guess: a stack trace, a profiler or a debugger that looks at a running Sanic server sees `Sanic.handle_request` in
# sanic/app.py and `HttpProtocol.connection_task` in sanic/server/protocols/http_protocol.py, as the source has them.
#
# What happens: when the server starts, sanic/touchup takes the source of such methods, cuts out what is not needed (signals that
# nobody listens to), and compiles them anew, with the method's NAME in place of the file's. The code that runs has
# co_filename 'handle_request', the line numbers count from the method's own first line, and the qualified name has lost
# its class. Other methods on the same path (Http.http1) are left as they are.
#
# Seen with sanic 25.12.1 and 22.12.0 on CPython 3.11. What follows: rules that find a frame by file and class miss the
# one in which every request runs, source lines cannot be shown, and the "file" must not be opened.
set -euo pipefail
python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "needs python3 of 3.11 or later"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check sanic==25.12.1 2>"$folder/log" ||
    { echo "needs sanic 25.12.1 from the package index"; exit 77; }
cat >"$folder/app.py" <<'PY'
import http.client, os, sys, threading
from sanic import Sanic, text

app = Sanic("example")

def running():
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back

@app.get("/stack")
async def stack(request):
    for frame in running():
        print(f"{frame.f_code.co_qualname}|{frame.f_code.co_filename}", flush=True)
    return text("ok")

@app.after_server_start
async def ask(app, _):
    def go():
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        connection.request("GET", "/stack")
        connection.getresponse().read()
        os._exit(0)
    threading.Thread(target=go, daemon=True).start()

if __name__ == "__main__":
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        PORT = s.getsockname()[1]
    app.run(host="127.0.0.1", port=PORT, single_process=True, access_log=False, motd=False)
PY
cd "$folder"
timeout 60 venv/bin/python app.py 2>"$folder/log" | tee "$folder/out"
grep -qx 'handle_request|handle_request' "$folder/out"
grep -qx 'connection_task|connection_task' "$folder/out"
grep -q '^Http.http1|.*/sanic/http/http1.py$' "$folder/out"
echo "as described: two of the frames on the way to a handler name no file"
