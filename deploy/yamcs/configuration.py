"""The configuration of Yamcs for one gateway: its link, its database, its events."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from telecommands.dictionary import EVENTS
from telecommands.gateway.xtce import SYSTEM, xtce

INSTANCE: Final = "flightsw"

_FILES: Final = Path(__file__).parent / "etc"
_UNLISTED: Final = "UNLISTED"
_MOST_PACKET_BYTES: Final = 65_542
_CHECKSUM: Final = {"type": "CRC-16-CCIIT"}  # as Yamcs spells it
_PREAMBLE: Final = 0x2F
_ENTITY_BYTES, _SEQUENCE_BYTES = 2, 4  # of groundsim cfdp
_MOST_PDU_BYTES: Final = 4096


def write_configuration(
    folder: Path,
    *,
    port: int,
    gateway: tuple[str, int],
    apid: int,
    files: tuple[str, int] | None = None,
) -> None:
    """Write ``etc`` and ``mdb`` below a folder; Yamcs will listen at ``port`` of the loopback.

    ``files`` is the address of ``groundsim cfdp --tcp``, whose entity is 1; Yamcs' own is 2.
    """
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
    if files is not None:
        _add_files(instance, files, etc / "cfdp.sql")
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


def _add_files(instance: dict[str, Any], files: tuple[str, int], streams: Path) -> None:
    """Products arrive in the bucket ``products``; Yamcs connects to the files' gateway too."""
    host, port = files
    instance["services"].append(
        {
            "class": "org.yamcs.cfdp.CfdpService",
            "name": "cfdp",
            "args": {
                "inStream": "cfdp_in",
                "outStream": "cfdp_out",
                "incomingBucket": "products",
                "allowDownloadOverwrites": True,  # a second copy replaces the first one
                "sequenceNrLength": _SEQUENCE_BYTES,
                "entityIdLength": _ENTITY_BYTES,
                "maxPduSize": _MOST_PDU_BYTES,
                "localEntities": [{"name": "ground", "id": 2}],
                "remoteEntities": [{"name": "unit", "id": 1}],
            },
        }
    )
    instance["dataLinks"].append(
        {
            "name": "files",
            "class": "org.yamcs.tctm.TcpTcTmDataLink",
            "host": host,
            "port": port,
            "tmStream": "pdus_in",
            "tcStream": "pdus_out",
            "packetInputStreamClassName": "org.yamcs.tctm.GenericPacketInputStream",
            "packetInputStreamArgs": {
                "maxPacketLength": 2 * _MOST_PDU_BYTES,
                "lengthFieldOffset": 1,
                "lengthFieldLength": 2,
                # the header: four bytes, two entities and the number of the transaction
                "lengthAdjustment": 4 + 2 * _ENTITY_BYTES + _SEQUENCE_BYTES,
                "initialBytesToStrip": 0,
            },
            "packetPreprocessorClassName": "org.yamcs.tctm.GenericPacketPreprocessor",
            "packetPreprocessorArgs": {"timestampOffset": -1, "seqCountOffset": -1},
            "commandPostprocessorClassName": "org.yamcs.tctm.GenericCommandPostprocessor",
        }
    )
    instance["streamConfig"]["tm"].append("pdus_in")
    instance["streamConfig"]["tc"].append("pdus_out")
    instance["streamConfig"]["sqlFile"] = str(streams)


def _events() -> list[dict[str, str]]:
    """The text of each event in Yamcs' list: the message that came with it."""
    names = (*EVENTS, _UNLISTED)
    return [{"eventId": name, "template": f"{{/{SYSTEM}/evt_message}}"} for name in names]


def _write(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
