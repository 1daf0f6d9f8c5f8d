"""Print telemetry, one JSON object per packet, and report lost packets.

python telemetry_subscriber.py ENDPOINT KEYS NAME [TOPIC ...]

KEYS is the folder with NAME.key_secret and service.key; without a TOPIC, all are received.
"""

import json
import sys
from pathlib import Path

import msgpack
import zmq
import zmq.auth

MOST_FRAME_BYTES = 16 << 20
SILENCE_S = 60  # after which the service counts as down


def main(endpoint, keys, name, *topics):
    """Print packets until the service is silent."""
    public, secret = zmq.auth.load_certificate(Path(keys) / f"{name}.key_secret")
    service, _ = zmq.auth.load_certificate(Path(keys) / "service.key")
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.linger = 0
    socket.maxmsgsize = MOST_FRAME_BYTES
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.curve_serverkey = service
    for topic in topics or [""]:
        socket.subscribe(topic)
    socket.connect(endpoint)
    last = {}  # topic: boot and number of its last packet
    while socket.poll(1000 * SILENCE_S):
        topic, frame = socket.recv_multipart()
        packet = msgpack.unpackb(frame)
        boot, number = last.get(topic, (None, None))
        if packet["boot"] == boot:
            if packet["seq"] <= number:
                continue  # sent again for another subscriber
            if packet["seq"] > number + 1:
                lost = packet["seq"] - number - 1
                print(f"{topic.decode()}: {lost} packets lost", file=sys.stderr)
        last[topic] = packet["boot"], packet["seq"]
        print(json.dumps({"topic": topic.decode(), **packet}, default=bytes.hex), flush=True)
    return f"no packet for {SILENCE_S} s"


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
