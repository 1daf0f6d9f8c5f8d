"""The process that makes decoders: it loads the readers once, and forks for each scene.

The service starts it with one open socket and an environment of a few variables: no keys, no
state, no other sockets.  It opens no scene itself, and has one thread, as a fork needs.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass
from time import monotonic
from typing import Final

from flightsw.host.descriptor_stream import StreamBroken, receive, send
from flightsw.scene.decoder import decode
from flightsw.scene.decoder_messages import DecoderExit, DecoderStart, Task, decoded, encoded

_SEND_SECONDS: Final = 5.0
_NICENESS: Final = 10  # as the service's processing thread
DESCRIPTORS: Final = 3
"""With each task: the decoder's socket, the reports' socket, and the decoder's error output."""


@dataclass(frozen=True)
class _Decoder:
    process: int
    handle: int  # a process descriptor, readable when it has ended
    reports: socket.socket

    def end(self) -> None:
        """Kill it if it runs, and report how it ended."""
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        self.report()

    def report(self) -> None:
        _, status = os.waitpid(self.process, 0)
        try:
            send(self.reports, encoded(DecoderExit(status)), until=monotonic() + _SEND_SECONDS)
        except StreamBroken:
            pass  # nobody waits for it any more
        finally:
            self.reports.close()
            os.close(self.handle)


def main() -> None:
    """Fork decoders until the service closes its end, or is dead."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    niceness = max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the service decides
    gc.collect()
    gc.freeze()  # or the first collection of each decoder would copy all pages
    decoders: dict[int, _Decoder] = {}
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in decoders:
                poll.unregister(ready)
                decoders.pop(ready).report()
                continue
            try:
                until = monotonic() + _SEND_SECONDS
                message, given = receive(orders, until, most_descriptors=DESCRIPTORS)
            except StreamBroken:
                for one in decoders.values():
                    one.end()
                return
            if made := _make(decoded(message, Task), *given):
                decoders[made.handle] = made
                poll.register(made.handle, select.POLLIN)


def _make(task: Task, stream: int, reports: int, errors: int) -> _Decoder | None:
    """A decoder for the task; None if the system allows no further process."""
    try:
        process = os.fork()
    except OSError as error:
        print(f"no decoder can be made: {error}", file=sys.stderr)
        for one in (stream, reports, errors):
            os.close(one)  # the service notices
        return None
    if process == 0:
        decode(task, stream, reports, errors)  # does not return
    os.close(stream)
    os.close(errors)
    decoder = _Decoder(process, os.pidfd_open(process), socket.socket(fileno=reports))
    try:
        until = monotonic() + _SEND_SECONDS
        send(decoder.reports, encoded(DecoderStart()), decoder.handle, until=until)
    except StreamBroken:
        pass  # its end is noticed like any other
    return decoder


if __name__ == "__main__":
    main()
