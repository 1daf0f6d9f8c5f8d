"""Send a telecommand and print its stages, one JSON object a line.

python telecommand_client.py ENDPOINT KEYS NAME TELECOMMAND [ARGUMENTS]

KEYS is the folder with NAME.key_secret, NAME.telecommand_key and service.key, which names the
unit; ARGUMENTS is JSON.
"""

import hashlib
import hmac
import json
import os
import re
import struct
import sys
import time
import uuid
from pathlib import Path

import msgpack
import zmq
import zmq.auth

VERSION = 2
MOST_FRAME_BYTES = 16 << 20
SECONDS = 120  # until the telecommand must be closed
RESEND_S, ASK_AGAIN_S = 3, 15  # seconds of silence before the first answer, and after it
CLOSING = ("REJECTED", "COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED")


class Client:
    """A link for telecommands and the key that signs them."""

    def __init__(self, endpoint, keys, name):
        self.name = name
        self.unit = re.search(r'unit = "(.*)"', (keys / "service.key").read_text())[1]
        self.key = bytes.fromhex((keys / f"{name}.telecommand_key").read_text())
        self.numbers = keys / f"{name}.last_number"
        public, secret = zmq.auth.load_certificate(keys / f"{name}.key_secret")
        service, _ = zmq.auth.load_certificate(keys / "service.key")
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.maxmsgsize = MOST_FRAME_BYTES
        self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
        self.socket.curve_serverkey = service
        self.socket.connect(endpoint)

    def run(self, telecommand, args):
        """Send a telecommand and yield its stages; arm it if that is needed and confirmed."""
        for stage in self.stages(telecommand, args):
            yield stage
        if stage.get("code") != "NOT_ARMED":
            return
        print(f"{telecommand} is hazardous; send it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "y":
            return
        for stage in self.stages("ARM", {"telecommand": {"name": telecommand, "args": args}}):
            yield stage
        if stage["stage"] == "COMPLETED":
            yield from self.stages(telecommand, args, arm=stage["data"]["arm"])

    def stages(self, telecommand, args, arm=None):
        """Send a telecommand; yield its stages, each once, until it is closed."""
        fields = {"id": uuid.uuid4().hex, "name": telecommand, "args": args, "arm": arm}
        body = msgpack.packb({**fields, "sent_at": time.time_ns()})
        seen = set()
        deadline = time.monotonic() + SECONDS
        self.send(body)
        while time.monotonic() < deadline:
            if not self.socket.poll(1000 * (ASK_AGAIN_S if seen else RESEND_S)):
                self.send(body)  # the same id: it is not run twice
                continue
            stage = msgpack.unpackb(self.socket.recv())
            if not seen and stage.get("code") in ("REPLAYED", "OUT_OF_WINDOW"):
                self.send(body, after=stage["data"]["highest"])
                continue
            step = (stage["stage"], stage["at"], stage.get("step"))
            if step in seen or (seen and stage["stage"] == "REJECTED"):
                continue  # a stage that was sent again, or only the repetition was rejected
            seen.add(step)
            yield stage
            if stage["stage"] in CLOSING:
                return
        raise TimeoutError(f"{telecommand} was not closed within {SECONDS} s; check the keys")

    def send(self, body, after=0):
        """Sign a body with the next sequence number, which is above `after`, and send it."""
        number = max(self.last_number(), after) + 1
        self.store(number)
        signed = struct.pack(">BQ", VERSION, number)
        for text in (self.unit.encode(), self.name.encode()):
            signed += struct.pack(">H", len(text)) + text
        mac = hmac.new(self.key, signed + body, hashlib.sha256).digest()
        header = msgpack.packb([VERSION, self.unit, self.name, number, mac])
        self.socket.send_multipart([header, body])

    def last_number(self):
        """The last sequence number used, 0 for a new key."""
        return int(self.numbers.read_text()) if self.numbers.exists() else 0

    def store(self, number):
        """Put a number on the disk before it is used, so that it is never used twice."""
        draft = self.numbers.with_suffix(".draft")
        with draft.open("w") as file:
            file.write(str(number))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.numbers)


def main(endpoint, keys, name, telecommand, arguments="{}"):
    """Send one telecommand; the exit status is 0 if it was COMPLETED."""
    for stage in Client(endpoint, Path(keys), name).run(telecommand, json.loads(arguments)):
        print(json.dumps(stage), flush=True)
    return 0 if stage["stage"] == "COMPLETED" else 1


if __name__ == "__main__":
    if not 5 <= len(sys.argv) <= 6:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
