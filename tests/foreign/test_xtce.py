"""The database in XTCE against the standard's schemas, and against a parser that others wrote."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from telecommands.dictionary import PACKETS, Stage, Topic, Verification
from telecommands.gateway.counts import Counts, CountState
from telecommands.gateway.packets import (
    Report,
    connection_report,
    parameter_report,
    report_of,
    space_packet,
    status_report,
    verification_report,
)
from telecommands.gateway.status import Tally
from telecommands.gateway.xtce import NAMESPACES, xtce
from tests.foreign.packets import PREFIXES, differing, expected
from tests.unit.telecommands.gateway.samples import APID, NOW, RECORDS, packet_of

_SCHEMAS = {"1.2": "dtc-18-02-04.xsd", "1.3": "dtc-25-02-18.xsd"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("xtce") / "flightsw.xml"
    path.write_bytes(xtce("1.2", APID))
    return path


@pytest.fixture(scope="module")
def parser(database: Path) -> Any:
    spp = pytest.importorskip("space_packet_parser", reason="space_packet_parser is not installed")
    return spp.XtcePacketDefinition.from_xtce(database, root_container_name="ccsds_packet")


@pytest.mark.parametrize("version", NAMESPACES)
def test_the_database_is_valid_by_the_schema(version: str) -> None:
    library = find_spec("xtce_lib")
    if library is None or library.origin is None:
        pytest.skip("xtce-lib, which has the schemas, needs Python 3.11")
    schema = Path(library.origin).parent / "xsd" / _SCHEMAS[version]
    document = etree.fromstring(xtce(version, APID))
    assert document.nsmap[None] == NAMESPACES[version]
    etree.XMLSchema(etree.parse(schema)).assertValid(document)


@pytest.mark.parametrize("topic", PACKETS)
def test_the_parser_finds_every_leaf_of_every_packet(topic: Topic, parser: Any) -> None:
    found = _parsed(parser, report_of(topic, *packet_of(topic)))
    prefix = PREFIXES[topic]
    wanted = expected(prefix, RECORDS[topic])
    wanted |= {f"{prefix}boot": 4, f"{prefix}seq": 17, f"{prefix}t": NOW, f"{prefix}unit": "sat-a"}
    assert differing(found, wanted) == {}
    if topic == "evt":
        assert found["EVENT_ID"] == "JOB_FAILED"


def test_the_parser_finds_the_answers_of_all_services(parser: Any) -> None:
    stage = Verification(id="a", name="PING", stage=Stage.TIMED_OUT, at=NOW, cause="it took long")
    found = _parsed(parser, verification_report(b"\x18\x64\xc1\x02", stage, "sat-a"))
    assert differing(found, expected("tc_", stage)) == {}
    assert (found["REQUEST_APID"], found["REQUEST_SEQUENCE_COUNT"], found["REPORT"]) == (
        100,
        258,
        8,
    )
    tally = Tally()
    tally.faults["FRAMING"] = 3
    status = tally.status(peers=2, waiting=1)
    found = _parsed(parser, status_report(status, "sat-a", NOW))
    assert differing(found, expected("gateway_", status)) == {}
    found = _parsed(parser, parameter_report("processing.fusion", "blend", "sat-a", NOW))
    assert found["parameter_processing_fusion"] == "blend"
    found = _parsed(parser, parameter_report("fdir.hot_c", 84.5, "sat-a", NOW))
    assert (found["parameter_fdir_hot_c"], found["parameter_fdir_hot_c_t"]) == (84.5, NOW)
    assert _parsed(parser, connection_report("sat-a", NOW))["connection_unit"] == "sat-a"


def _parsed(parser: Any, report: Report) -> dict[str, Any]:
    """Decoded values; the parser warns, which fails the test, unless it has read every bit."""
    raw = space_packet(report, APID, Counts(CountState(APID)))
    return dict(parser.parse_bytes(raw))
