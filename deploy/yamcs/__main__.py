"""``python -m deploy.yamcs FOLDER --gateway HOST:PORT``: Yamcs until Ctrl-C, for that gateway."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from deploy.yamcs.configuration import write_configuration
from deploy.yamcs.server import YamcsUnavailable, running
from telecommands.command_line import forget_interrupt


def main() -> int:
    """Write the configuration, start the server, print its address."""
    parser = argparse.ArgumentParser(prog="python -m deploy.yamcs")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--gateway", default="127.0.0.1:5710", metavar="HOST:PORT")
    parser.add_argument("--files", metavar="HOST:PORT", help="of groundsim cfdp --tcp")
    parser.add_argument("--apid", type=int, default=100)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_configuration(
        folder,
        port=arguments.port,
        gateway=_address(arguments.gateway),
        apid=arguments.apid,
        files=_address(arguments.files) if arguments.files else None,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the server is stopped on the way out
    try:
        with running(folder, arguments.port) as process:
            print(f"http://127.0.0.1:{arguments.port}", flush=True)
            return process.wait()
    except YamcsUnavailable as unavailable:
        print(f"yamcs: {unavailable}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        forget_interrupt()
        return 130


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
