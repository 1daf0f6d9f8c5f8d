from __future__ import annotations

import hashlib
import hmac
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from deploy.benchmark import page as benchmarks
from deploy.documentation import interface_page, model_card_page, settings_page
from deploy.model.card import read_card
from flightsw.model.package import load_package
from telecommands.dictionary import (
    EVENTS,
    MEANINGS,
    PACKETS,
    PARAMETERS,
    TELECOMMANDS,
    VERSION,
    Code,
    DownlinkReply,
    DownlinkRequest,
    EngineName,
)


def test_the_settings_page_is_what_the_code_says() -> None:
    assert settings_page.PAGE.read_text() == settings_page.render()


def test_the_benchmarks_page_shows_the_figures_beside_it() -> None:
    figures = msgspec.json.decode(benchmarks.PAGE.with_suffix(".json").read_bytes())
    assert benchmarks.PAGE.read_text() == benchmarks.render(figures)


def test_the_model_card_shows_the_figures_beside_it_and_is_about_the_package_that_ships() -> None:
    card = read_card(model_card_page.FIGURES)
    assert model_card_page.PAGE.read_text() == model_card_page.render(card)
    assert card.model_id == load_package().model_id


def test_every_setting_is_on_the_page() -> None:
    page = settings_page.render()
    for key in ("arrangement", "queue_depth", "latency_ms", "stall_seconds", "model", "fusion"):
        assert f"| `{key}` |" in page


def test_a_setting_is_described_by_its_type() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \| .* \|$", settings_page.render(), re.MULTILINE))
    names = ", ".join(f"`{name}`" for name in get_args(EngineName))
    assert rows["engines"] == f"list of {names}; at least one"
    assert rows["tile_size"] == "integer, ≥ 32, ≤ 8,192, a multiple of 32"
    assert rows["log_level"] == '`"debug"` or `"info"` or `"warning"` or `"error"`'
    assert rows["curve"] == "true or false"
    assert rows["state_dir"] == "path"


def test_the_interface_page_is_what_the_code_says() -> None:
    assert interface_page.PAGE.read_text() == interface_page.render(), (
        "run: python -m deploy.documentation.interface_page"
    )


def test_every_telecommand_packet_event_parameter_and_code_is_on_the_page() -> None:
    page = interface_page.render()
    headings = set(re.findall(r"^#+ (.*)$", page, re.MULTILINE))
    rows = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert {*TELECOMMANDS, *PACKETS} <= headings
    assert {*EVENTS, *PARAMETERS, *(code.value for code in Code)} <= rows


def _fields(kind: Any) -> Iterator[str]:
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        yield field.encode_name


def test_every_field_is_on_the_page() -> None:
    sections = re.split(r"^#+ ", interface_page.render(), flags=re.MULTILINE)
    page = {title: text for title, _, text in (part.partition("\n") for part in sections)}
    messages = (*DownlinkRequest.__args__, *DownlinkReply.__args__)
    expected = [
        *TELECOMMANDS.items(),
        *((topic, kind) for topic, kind in PACKETS.items() if topic != "ver"),
        *((msgspec.inspect.type_info(kind).tag, kind) for kind in messages),  # type: ignore[attr-defined]
    ]
    for title, kind in expected:
        rows = re.findall(r"^\| `([^`]+)` \|", page[str(title)], re.MULTILINE)
        assert [row for row in rows if row != "type"] == list(_fields(kind)), title


def test_no_field_on_the_page_has_an_empty_meaning() -> None:
    rows = re.findall(r"^\| `.*\|$", interface_page.render(), re.MULTILINE)
    assert len(rows) > 200
    assert [row for row in rows if not row.split("|")[-2].strip()] == []


def test_a_meaning_by_name_is_that_of_a_field() -> None:
    rows = set(re.findall(r"^\| `([^`]+)` \|", interface_page.render(), re.MULTILINE))
    assert set(MEANINGS) <= rows


def test_no_page_shows_marks_of_docstrings() -> None:
    for page in (interface_page.render(), settings_page.render()):
        assert not re.search(r"``|:\w+:`|tuple|Optional|Union", page.replace("```", ""))


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = interface_page.render()
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors


def test_the_example_of_the_page_follows_from_its_own_rules() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| `([0-9a-f ]+)` \|$", interface_page.render(), re.M))
    found = {name.split(":")[0]: bytes.fromhex(digits) for name, digits in rows.items()}
    version, unit, key_id, sequence, mac = msgspec.msgpack.decode(found["header"])
    signed = b"".join(
        (
            version.to_bytes(1, "big"),
            sequence.to_bytes(8, "big"),
            len(unit).to_bytes(2, "big"),
            unit.encode(),
            len(key_id).to_bytes(2, "big"),
            key_id.encode(),
            found["body"],
        )
    )
    assert found["authenticated"] == signed
    assert hmac.new(found["telecommand key"], signed, hashlib.sha256).digest() == mac
    assert found["mac"] == mac
    assert msgspec.msgpack.decode(found["body"])["name"] == "PING"


def test_the_programs_on_the_page_need_only_python_zeromq_and_msgpack() -> None:
    programs = re.findall(r"```python\n(.*?)```", interface_page.render(), re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        names = set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE))
        assert names - sys.stdlib_module_names == {"msgpack", "zmq"}


def test_the_client_on_the_page_has_the_version_of_the_interface() -> None:
    (version,) = re.findall(r"^VERSION = (\d+)$", interface_page.render(), re.MULTILINE)
    assert int(version) == VERSION
