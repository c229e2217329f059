#!/usr/bin/env python3
"""An AWS of one's own: DynamoDB, Parameter Store, EventBridge, SQS and the rest, on loopback.

Starts the emulator `ministack` with what `patches.py` adds. When it serves, it
prints one line of JSON to standard output:

    {"endpoint": "http://127.0.0.1:4566", "pid": 4711}

It ends on SIGTERM or SIGINT, or, with --until-stdin-closes, when whoever started
it is gone. Credentials are not checked; an access key id of twelve digits names
an account of its own, so a fresh one isolates a test.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import urllib.request

# A long poll lasts up to 20 s; nobody should wait for it when the emulator ends.
GRACE_SECONDS = 0.2
DEADLINE_SECONDS = 5


def main():
    options = arguments()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=512)
    port = listener.getsockname()[1]
    scratch = tempfile.mkdtemp(prefix="confhub-aws-")
    try:
        os.environ.update(environment(port, options, scratch))
        tempfile.tempdir = scratch
        asyncio.run(serve(listener, port, options.until_stdin_closes))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=4566, help="0 takes a free one")
    parser.add_argument("--state-dir", help="keep the state here between runs; without it nothing is kept")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--log-level", default="WARNING")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input ends")
    return parser.parse_args()


def environment(port, options, scratch):
    """All that the emulator reads when it is imported, whatever the caller's environment holds."""
    state = options.state_dir or scratch
    return {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": options.region,
        "LOG_LEVEL": options.log_level.upper(),
        # These two would listen on every interface of the machine.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "USE_SSL": "0",
        "PERSIST_STATE": "1" if options.state_dir else "0",
        "STATE_DIR": state,
        "S3_DATA_DIR": os.path.join(state, "s3"),
        "TMPDIR": scratch,
        # No container is ever to be started or removed on a developer's engine.
        "DOCKER_HOST": f"unix://{scratch}/no-engine.sock",
        # The start-up scripts of a container image have no place here.
        "SERVICES": "",
    }


async def serve(listener, port, until_stdin_closes):
    import patches
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    patches.install()
    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = os.environ["LOG_LEVEL"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS

    stop = stop_event(until_stdin_closes)
    announced = asyncio.create_task(announce(f"http://127.0.0.1:{port}"))
    await hypercorn(app, config, shutdown_trigger=stop.wait)
    announced.cancel()


def stop_event(until_stdin_closes):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def end():
        stop.set()
        # A worker thread of the emulator that hangs does not keep the process.
        last_resort = threading.Timer(DEADLINE_SECONDS, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()

    def watch_stdin():
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(end)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if until_stdin_closes:
        threading.Thread(target=watch_stdin, daemon=True).start()
    return stop


async def announce(endpoint):
    """Says where it is, once it answers."""
    while not await asyncio.to_thread(answers, endpoint):
        await asyncio.sleep(0.02)
    print(json.dumps({"endpoint": endpoint, "pid": os.getpid()}), flush=True)


def answers(endpoint):
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
