"""``python -m deploy.documentation.interface_page``: write ``docs/interface.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, get_args

from deploy.documentation.interface_types import doc_of, fields_table, record_of, records_in, value
from flightsw.commanding.arming import MOST_ARMED
from flightsw.commanding.ledger import KEPT
from telecommands import dictionary
from telecommands.auth import AHEAD, SECRET_BYTES, WINDOW, TelecommandKey, mac, sign
from telecommands.dictionary import (
    EVENTS,
    PACKETS,
    PARAMETERS,
    TELECOMMANDS,
    Code,
    DownlinkReply,
    DownlinkRequest,
    JobState,
    Mode,
    Packet,
    Parameter,
    ProductState,
    Severity,
    Stage,
    Telecommand,
    TelecommandBody,
    TelecommandHeader,
    Verification,
)
from telecommands.ground.commanding import RESEND_S
from telecommands.ground.connection import MOST_FRAME_BYTES
from telecommands.ground.credit import MOST_CREDIT
from telecommands.ground.downlink import WINDOW_BYTES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "interface.md"
_TEMPLATE: Final = Path(__file__).with_name("interface_template.md")
_EXAMPLES: Final = ("telecommand_client", "telemetry_subscriber")

EXAMPLE_KEY: Final = TelecommandKey("example", bytes(range(SECRET_BYTES)))
EXAMPLE_UNIT: Final = "sat-a"
EXAMPLE_SEQUENCE: Final = 7
EXAMPLE_BODY: Final = TelecommandBody(
    id="ping-1", name="PING", args={}, sent_at=1_800_000_000_000_000_000
)


def render() -> str:
    """The page."""
    chapters = _figures() | {name: "".join(lines) for name, lines in _chapters().items()}
    examples = PAGE.with_name("examples")
    chapters |= {name: (examples / f"{name}.py").read_text() for name in _EXAMPLES}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: chapters[found[1]], _TEMPLATE.read_text())


def _figures() -> dict[str, str]:
    return {
        "version": str(dictionary.VERSION),
        "telecommand_port": str(dictionary.TELECOMMAND_PORT),
        "telemetry_port": str(dictionary.TELEMETRY_PORT),
        "downlink_port": str(dictionary.DOWNLINK_PORT),
        "max_header_bytes": f"{dictionary.MAX_HEADER_BYTES:,}",
        "max_body_bytes": f"{dictionary.MAX_BODY_BYTES:,}",
        "max_depth": str(dictionary.MAX_DEPTH),
        "secret_bytes": str(SECRET_BYTES),
        "secret_digits": str(2 * SECRET_BYTES),
        "window": f"{WINDOW:,}",
        "ahead": f"{AHEAD:,}",
        "kept": f"{KEPT:,}",
        "most_armed": str(MOST_ARMED),
        "resend": f"{RESEND_S:g}",
        "window_bytes": f"{WINDOW_BYTES >> 20} MiB",
        "most_credit": str(MOST_CREDIT),
        "most_frame": f"{MOST_FRAME_BYTES >> 20} MiB",
        "most_chunk": f"{int(PARAMETERS['downlink.chunk_bytes'].high or 0) >> 20} MiB",
    }


def _chapters() -> Mapping[str, Iterator[str]]:
    return {
        "header": fields_table(TelecommandHeader),
        "body": fields_table(TelecommandBody),
        "example": _example(),
        "verification": fields_table(Verification),
        "telecommands": _telecommands(),
        "packet": fields_table(Packet),
        "packets": _packets(),
        "events": _events(),
        "parameters": _parameters(),
        "downlink": _downlink(),
        "records": _records(),
        "enumerations": _enumerations(),
        "codes": _codes(),
    }


def _example() -> Iterator[str]:
    header, body = sign(EXAMPLE_KEY, EXAMPLE_UNIT, EXAMPLE_SEQUENCE, EXAMPLE_BODY)
    code = mac(EXAMPLE_KEY, dictionary.VERSION, EXAMPLE_UNIT, EXAMPLE_SEQUENCE, body)
    names = (EXAMPLE_UNIT.encode(), EXAMPLE_KEY.key_id.encode())
    shown = " ".join(f"{len(name):04x} {name.hex()}" for name in names)
    yield "| what | bytes in hex |\n| --- | --- |\n"
    yield f"| telecommand key | `{EXAMPLE_KEY.secret.hex()}` |\n"
    yield f"| body: {value(EXAMPLE_BODY)} | `{body.hex()}` |\n"
    yield f"| authenticated: version {dictionary.VERSION}, sequence {EXAMPLE_SEQUENCE}, "
    yield f"unit `{EXAMPLE_UNIT}`, key id `{EXAMPLE_KEY.key_id}`, body | "
    yield f"`{dictionary.VERSION:02x} {EXAMPLE_SEQUENCE:016x} {shown} {body.hex()}` |\n"
    yield f"| mac | `{code.hex()}` |\n"
    yield f"| header | `{header.hex()}` |\n"


def _telecommands() -> Iterator[str]:
    for name, kind in TELECOMMANDS.items():
        yield f"\n#### {name}\n\n{doc_of(kind)}\n"
        remarks = "".join(f" {remark}." for remark in _remarks(kind))
        result = kind.RESULT
        shown = f"[{result.__name__}](#{result.__name__.lower()})" if result else "nothing"
        yield f"\nResult: {shown}.{remarks}\n"
        yield from fields_table(kind)


def _remarks(kind: type[Telecommand]) -> Iterator[str]:
    if kind.READ_ONLY:
        yield "Reads only"
    elif not kind.IN_SAFE:
        yield "Not in SAFE"
    if kind.HAZARDOUS:
        yield "Hazardous"


def _packets() -> Iterator[str]:
    for topic, kind in PACKETS.items():
        yield f"\n#### {topic}\n\n`{kind.__name__}`. {doc_of(kind)}\n"
        if kind is Verification:
            yield "\nIts fields are those of [verification](#verification).\n"
        else:
            yield from fields_table(kind)


def _events() -> Iterator[str]:
    yield "| event | severity | meaning |\n| --- | --- | --- |\n"
    for name, kind in EVENTS.items():
        yield f"| `{name}` | {kind.severity.value} | {kind.doc} |\n"


def _parameters() -> Iterator[str]:
    yield "| parameter | type | unit | range | default | meaning |\n"
    yield "| --- | --- | --- | --- | --- | --- |\n"
    for name, one in PARAMETERS.items():
        kind = {bool: "boolean", int: "integer", float: "number", str: "text"}[type(one.default)]
        doc = f"{one.doc}. Hazardous" if one.hazardous else one.doc
        cells = (f"`{name}`", kind, one.unit, _range(one), value(one.default), doc)
        yield f"| {' | '.join(cells)} |\n"


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        return " or ".join(map(value, parameter.choices))
    if parameter.low is None or parameter.high is None:
        return ""
    return f"{parameter.low:,} to {parameter.high:,}"


def _downlink() -> Iterator[str]:
    for kind in (*get_args(DownlinkRequest), *get_args(DownlinkReply)):
        yield f"\n#### {record_of(kind).tag}\n\n{doc_of(kind)}\n"
        yield from fields_table(kind)


def _records() -> Iterator[str]:
    results = [kind.RESULT for kind in TELECOMMANDS.values() if kind.RESULT]
    roots = [*TELECOMMANDS.values(), *results, *PACKETS.values()]
    found = {one: None for root in roots for one in records_in(root)}
    for kind in dict.fromkeys((*results, *found)):
        yield f"\n### {kind.__name__}\n\n{doc_of(kind)}\n"
        yield from fields_table(kind)


def _enumerations() -> Iterator[str]:
    kinds: tuple[type[Enum], ...] = (
        Mode,
        Stage,
        Severity,
        JobState,
        ProductState,
        dictionary.DownlinkClass,
    )
    for kind in kinds:
        yield f"\n### {kind.__name__}\n\n{doc_of(kind)}\n\n"
        yield f"{', '.join(f'`{member.value}`' for member in kind)}\n"
    yield "\n### Code\n\nOne of the [codes](#codes).\n"


def _codes() -> Iterator[str]:
    yield "| code | meaning |\n| --- | --- |\n"
    for code in Code:
        yield f"| `{code.value}` | {code.doc} |\n"


if __name__ == "__main__":
    PAGE.write_text(render())
