"""``python -m deploy.yamcs.rate``: packets a second through ``groundsim gateway``, and its CPU.

A publisher on an encrypted link sends the mix of a unit that processes scenes; a client on TCP
reads the space packets as Yamcs would.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psutil
import zmq

from telecommands.codec import encode_packet
from telecommands.dictionary import (
    LATENCY_STAGES,
    LATENCY_STATISTICS,
    CloudFraction,
    ContactState,
    Event,
    Housekeeping,
    JobCounts,
    Mode,
    ProductCounts,
    Progress,
    Record,
    Severity,
    Stage,
    TelecommandCounts,
    Topic,
    Verification,
)
from telecommands.gateway.framing import HEADER_BYTES
from telecommands.keys import (
    SERVICE_KEY,
    CurvePair,
    certificate,
    generate_curve_pair,
    generate_telecommand_key,
    publish_key_file,
    read_curve_pair,
    unit_metadata,
)

_UNIT: Final = "rate"
_BATCH_S: Final = 0.02
_WARM_UP_S: Final = 3.0
_SETTLE_S: Final = 1.0  # for what is still under way

HOUSEKEEPING: Final = Housekeeping(
    mode=Mode.OPERATIONAL, uptime_s=1000.0, boots=3, unclean_boots=0, reset_cause="power on",
    jobs=JobCounts(), products=ProductCounts(), telecommands=TelecommandCounts(),
    clock_trusted=True, sent_at_checked=True, scheduled=0, contact=ContactState(),
    packets_dropped=0, events_squelched=0, card_temperature_c=51.0, card_power_w=10.1,
    card_energy_j=42.4, cpu_temperature_c=60.0, cpu_share=0.5, memory_bytes=3 * 10**8,
    disk_free_bytes=10**10, storage_used_bytes=10**9, storage_quota_bytes=2 * 10**10,
    active_model="dtacsnet-cd-0.2.0", engine="dimc", device="simulator", device_state="busy",
    heartbeats={"commanding": 0.1, "telemetry": 0.1, "downlink": 0.2, "processing": 0.3},
)  # fmt: skip
CLOUD_FRACTION: Final = CloudFraction(
    job="job-1", scene="X.SAFE", model="m", engine="dimc", ground_sample_distance=10, height=10_980,
    width=10_980, valid_pixels=10**8, contaminated=0.4, fractions={"clear": 0.6}, rows=53,
    columns=53, tile_map=bytes(53 * 53), seconds=40.0, inference_seconds=4.2,
    stages_ms={stage: dict.fromkeys(LATENCY_STATISTICS, 1.0) for stage in LATENCY_STAGES},
    energy_j=42.4,
)  # fmt: skip
MIX: Final[tuple[tuple[Topic, Record], ...]] = (
    ("hk", HOUSEKEEPING),
    ("sci.cloud_fraction", CLOUD_FRACTION),
    *(
        ("evt", Event(event="JOB_STARTED", severity=Severity.ACTIVITY, message="job 1 started")),
        ("ver", Verification(id="a1", name="PROCESS_SCENE", stage=Stage.STARTED, at=1)),
    )
    * 2,
    *(("sci.progress", Progress(job="job-1", scene="X", rows_done=1, rows=9, elapsed_s=1.0)),) * 4,
)  # fmt: skip
"""Of ten packets one is housekeeping, one a cloud fraction, two are events, two stages."""


def main() -> int:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.yamcs.rate")
    parser.add_argument("--rate", type=int, default=1000, help="packets a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        _gateway(Path(folder)) as (publisher, process, port),
    ):
        received, stop = [0], threading.Event()
        reader = threading.Thread(target=_read, args=(port, received, stop))
        reader.start()
        _publish(publisher, arguments.rate, _WARM_UP_S)
        time.sleep(_SETTLE_S)
        before, counted, began = _cpu(process), received[0], time.monotonic()
        sent = _publish(publisher, arguments.rate, arguments.seconds)
        lasted = time.monotonic() - began
        time.sleep(_SETTLE_S)
        share = (_cpu(process) - before) / lasted
        stop.set()
        reader.join()
    arrived = received[0] - counted
    rate = f"{sent / lasted:.0f} packets a second for {lasted:.0f} s"
    print(f"{rate}: {arrived} of {sent} arrived, {share:.1%} of a core")
    return 0 if arrived >= sent else 1


@contextmanager
def _gateway(folder: Path) -> Iterator[tuple[zmq.Socket[bytes], psutil.Process, int]]:
    """A publisher, the gateway that subscribes to it, and the gateway's port."""
    service = read_curve_pair(generate_curve_pair(folder / "flight", "service", _UNIT))
    ground = folder / "ground"
    generate_curve_pair(ground, "operator")
    generate_telecommand_key(ground, "operator")
    key = certificate(service.public, unit_metadata(_UNIT))
    publish_key_file(ground / SERVICE_KEY, key)
    context = zmq.Context()
    publisher = _publisher(context, service)
    endpoint = publisher.getsockopt_string(zmq.LAST_ENDPOINT)
    links = {"telecommand": "tcp://127.0.0.1:9", "telemetry": endpoint, "downlink": endpoint}
    (folder / "endpoints.json").write_bytes(msgspec.json.encode(links))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "telecommands.groundsim", "gateway"),
            *("--listen", "127.0.0.1:0", "--keys", str(ground)),
            *("--endpoints", str(folder / "endpoints.json")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[0].rpartition(":")[2])
        yield publisher, psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.communicate(timeout=60)
        context.destroy(linger=0)


def _publisher(context: zmq.Context[zmq.Socket[bytes]], pair: CurvePair) -> zmq.Socket[bytes]:
    publisher = context.socket(zmq.PUB)
    publisher.curve_server = True
    publisher.curve_publickey, publisher.curve_secretkey = pair.public, pair.secret
    publisher.bind("tcp://127.0.0.1:*")
    return publisher


def _publish(publisher: zmq.Socket[bytes], rate: int, seconds: float) -> int:
    """Send the mix in even batches; the number of packets."""
    sent, began = _publish_state.get(publisher, 0), time.monotonic()
    first = sent
    while (now := time.monotonic() - began) < seconds:
        while sent - first < now * rate:
            topic, record = MIX[sent % len(MIX)]
            sent += 1
            frames = encode_packet(
                topic, record, unit=_UNIT, boot=1, sequence=sent, t=time.time_ns()
            )
            publisher.send_multipart(frames)
        time.sleep(_BATCH_S)
    _publish_state[publisher] = sent
    return sent - first


_publish_state: Final[dict[zmq.Socket[bytes], int]] = {}


def _read(port: int, received: list[int], stop: threading.Event) -> None:
    """Count space packets of the unit, without the gateway's own."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(0.5)
        content = b""
        while not stop.is_set():
            try:
                content += connection.recv(1 << 16)
            except TimeoutError:
                continue
            while len(content) >= HEADER_BYTES:
                length = int.from_bytes(content[4:6], "big") + 1 + HEADER_BYTES
                if len(content) < length:
                    break
                own = content[7] == 3 and content[21] == 200
                received[0] += not own
                content = content[length:]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
