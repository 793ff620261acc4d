"""``python -m tests.peers.stack``: the test stack in the foreground, to try Mailbearer by hand; Ctrl-C ends it."""

import argparse
import contextlib
import signal
import sys
from dataclasses import asdict

from tests.peers.stack.servers import missing
from tests.peers.stack.stack import Stack


def main() -> int:
    """Start, tell where everything is, wait."""
    argparse.ArgumentParser(prog="python -m tests.peers.stack", description=__doc__).parse_args()
    if why := missing():
        print(why, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Stack.started() as stack:
        print(f"discovery   {stack.discovery}")
        print(f"CA          {stack.ca_file}")
        for client in stack.clients.values():
            print(f"client      {client.id:14} {client.secret or '(no secret)'}")
        for name, port in asdict(stack.ports).items():
            print(f"{name:16} localhost:{port}")
        print("Any address is an account. Ctrl-C ends it.", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
