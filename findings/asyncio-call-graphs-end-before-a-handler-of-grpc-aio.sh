#!/bin/bash
# asyncio's own call graphs (3.14): the handler that a grpc.aio server awaits is in neither of them.
#
# Guess: `asyncio.format_call_graph(task)` inside of the process, and `python -m asyncio pstree PID` from outside, show the
# line of a handler that awaits something, as they do for the same coroutine function in a task of its own; at worst the
# frames of grpc's compiled code in between are left out.
#
# What happens: grpc.aio's coroutines are compiled by Cython, and await the handler's through a `coroutine_wrapper`, which
# tells nobody what it wraps: it has no `cr_await`. From inside one sees grpc's frames, in a file that does not exist,
# without line numbers, and no handler. From outside the task has no stack at all, and no word that something is missing:
# a server whose handlers all hang looks like one that has no request.
#
# Seen with grpcio 1.85.3 on CPython 3.14.10. What follows: whoever reads chains of tasks must follow compiled coroutines
# and wrappers by their memory, or say that such tasks are not seen.
set -euo pipefail
python=${PYTHON:-python3}
"$python" -c "import sys; sys.exit(sys.version_info < (3, 14))" ||
    { echo "needs a Python of 3.14 or later (PYTHON=...)"; exit 77; }
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
python3 -m pip install -q --disable-pip-version-check --python-version "$version" --only-binary=:all: \
    --target "$folder/packages" grpcio==1.85.3 2>"$folder/log" ||
    { echo "needs pip, and grpcio 1.85.3 from the package index"; exit 77; }
cat >"$folder/server.py" <<'PY'
import asyncio, grpc

async def handler(request, context):
    await asyncio.sleep(100)
    return b""

async def main():
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(handler)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("service", {"Method": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    own = asyncio.create_task(handler(b"", None), name="own")
    call = grpc.aio.insecure_channel(f"127.0.0.1:{port}").unary_unary("/service/Method")(b"")
    await asyncio.sleep(1)
    served = next(t for t in asyncio.all_tasks() if t.get_name().startswith("HandleExceptions"))
    for task in (own, served):
        print(asyncio.format_call_graph(task), flush=True)
    print("ready", flush=True)
    await own

asyncio.run(main())
PY
PYTHONPATH="$folder/packages" "$python" "$folder/server.py" >"$folder/inside" 2>"$folder/log" &
server=$!
for _ in $(seq 150); do grep -q ready "$folder/inside" && break; sleep 0.1; done
"$python" -m asyncio pstree "$server" >"$folder/outside"
echo "from inside:"
grep -v ready "$folder/inside"
echo "from outside:"
cat "$folder/outside"
# The handler shows once, in the task of its own.
[[ $(grep -c ' in async handler()\| in handler()' "$folder/inside") == 1 ]]
grep -q 'line None, in _handle_rpc()' "$folder/inside"
[[ $(grep -c ' handler .*server\.py' "$folder/outside") == 1 ]]
[[ $(grep -c '_handle_rpc' "$folder/outside") == 0 ]] && grep -q 'HandleExceptions' "$folder/outside"
echo "as described: what a handler of grpc.aio waits at is in neither call graph"
