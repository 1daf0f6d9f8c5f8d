"""The configuration of Yamcs for one gateway: its link, its database, its events."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import yaml

from telecommands.dictionary import EVENTS
from telecommands.gateway.xtce import SYSTEM, xtce

INSTANCE: Final = "flightsw"

_FILES: Final = Path(__file__).parent / "etc"
_UNLISTED: Final = "UNLISTED"
_MOST_PACKET_BYTES: Final = 65_542
_CHECKSUM: Final = {"type": "CRC-16-CCIIT"}  # as Yamcs spells it
_PREAMBLE: Final = 0x2F


def write_configuration(folder: Path, *, port: int, gateway: tuple[str, int], apid: int) -> None:
    """Write ``etc`` and ``mdb`` below a folder; Yamcs will listen at ``port`` of the loopback."""
    etc, mdb = folder / "etc", folder / "mdb"
    shutil.copytree(_FILES, etc, dirs_exist_ok=True)
    mdb.mkdir(exist_ok=True)
    (mdb / "flightsw.xml").write_bytes(xtce("1.2", apid))
    _write(etc / "events.yaml", _events())
    server = {
        "services": [
            {"class": "org.yamcs.http.HttpServer", "args": {"address": "127.0.0.1", "port": port}}
        ],
        "dataDir": str(folder / "data"),
        "instances": [INSTANCE],
    }
    _write(etc / "yamcs.yaml", server)
    instance = yaml.safe_load((etc / "instance.yaml").read_text())
    instance["dataLinks"] = [_link(gateway)]
    instance["mdb"] = [{"type": "xtce", "args": {"file": str(mdb / "flightsw.xml")}}]
    instance["services"].append(
        {
            "class": "org.yamcs.pus.PusEventDecoder",
            "args": {
                "eventIdParameter": f"/{SYSTEM}/EVENT_ID",
                "eventTemplateFile": str(etc / "events.yaml"),
                "realtimeStreams": ["tm_realtime"],
            },
        }
    )
    _write(etc / f"yamcs.{INSTANCE}.yaml", instance)
    (etc / "instance.yaml").unlink()


def _link(gateway: tuple[str, int]) -> dict[str, object]:
    """Yamcs connects to the gateway: nothing listens but its web page."""
    host, port = gateway
    time = {
        "type": "CUC",
        "epoch": "CUSTOM",
        "epochUTC": "1970-01-01T00:00:00Z",
        "timeIncludesLeapSeconds": True,
    }
    return {
        "name": "gateway",
        "class": "org.yamcs.tctm.TcpTcTmDataLink",
        "host": host,
        "port": port,
        "tmStream": "tm_realtime",
        "tcStream": "tc_realtime",
        "packetInputStreamClassName": "org.yamcs.tctm.CcsdsPacketInputStream",
        "packetInputStreamArgs": {"maxPacketLength": _MOST_PACKET_BYTES},
        "packetPreprocessorClassName": "org.yamcs.pus.PusPacketPreprocessor",
        "packetPreprocessorArgs": {"errorDetection": _CHECKSUM, "timeEncoding": time},
        "commandPostprocessorClassName": "org.yamcs.pus.PusCommandPostprocessor",
        "commandPostprocessorArgs": {
            "errorDetection": _CHECKSUM,
            "timeEncoding": {"implicitPfield": False, "pfield": _PREAMBLE},
        },
    }


def _events() -> list[dict[str, str]]:
    """The text of each event in Yamcs' list: the message that came with it."""
    names = (*EVENTS, _UNLISTED)
    return [{"eventId": name, "template": f"{{/{SYSTEM}/evt_message}}"} for name in names]


def _write(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
