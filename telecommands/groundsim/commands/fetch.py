"""``groundsim fetch``: receive products into a folder."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from telecommands.command_line import waiting_time, whole_number
from telecommands.dictionary import Stage
from telecommands.ground.downlink import ReceivedProduct
from telecommands.ground.errors import TransferFailed
from telecommands.ground.readable import stage_lines
from telecommands.ground.station import Station, add_station_options, station_of
from telecommands.groundsim.commands.send import exit_status
from telecommands.groundsim.reception import receive_products
from telecommands.groundsim.transfer_bar import transfer_bar
from telecommands.units import size

_CONTACT_ANSWER_S: Final = 30.0
_COUNT: Final = whole_number(1, 10**9, "a number of products")
_EPILOG: Final = (
    "Exit status: 0 if --count products were received or the queue on board is empty, 1 if "
    "products may be left (no contact, budget used up) or one could not be received, 3 if the "
    "contact was rejected, 4 if there was no answer.  An interrupted transfer is resumed."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "fetch",
        help="receive products into a folder",
        description="Receive products into FOLDER/UNIT/JOB/ until nothing is left on board.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run, after_interrupt="Run fetch again to resume the transfer")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the products")
    parser.add_argument(
        "--contact",
        type=_contact,
        metavar="BYTES,SECONDS",
        help="open a contact window first, as in 200e6,600",
    )
    parser.add_argument("--count", type=_COUNT, metavar="N", help="end after N products")
    parser.add_argument(
        "--wait",
        type=waiting_time,
        default=0.0,
        metavar="SECONDS",
        help="end when no product was received for this long (%(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per product")
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    station = station_of(arguments)
    if arguments.contact is not None:
        stage = _open_contact(station, arguments.contact)
        if stage is not Stage.COMPLETED:
            return exit_status(stage) or 1
    failures: list[TransferFailed] = []

    def failed(error: TransferFailed) -> None:
        failures.append(error)
        print(f"groundsim: {error}", file=sys.stderr)

    count = 0
    with (
        transfer_bar() as show,
        station.downlink(
            arguments.folder, lambda offer, stored: show(offer.name, stored, offer.size)
        ) as receiver,
    ):
        started = time.monotonic()
        for product in receive_products(
            receiver, lambda _, idle: idle < arguments.wait, failed, most=arguments.count
        ):
            _report(product, time.monotonic() - started, json=arguments.json)
            started = time.monotonic()
            count += 1
        why_not_more = receiver.why_nothing
    if arguments.count is not None:
        return _ended(count >= arguments.count, f"received {count} of {arguments.count} products")
    left = "no contact window is open, or its budget is used up; products may be left on board"
    return _ended(not failures and why_not_more == "EMPTY", left if not failures else "")


def _open_contact(station: Station, contact: tuple[int, float]) -> Stage:
    budget, seconds = contact
    with station.commanding() as client:
        answer = client.execute(
            "OPEN_CONTACT", {"bytes": budget, "seconds": seconds}, _CONTACT_ANSWER_S
        )
    if answer.stage is not Stage.COMPLETED:
        print(*stage_lines(answer), sep="\n", file=sys.stderr)
    return answer.stage


def _report(product: ReceivedProduct, seconds: float, *, json: bool) -> None:
    if json:
        record = {**msgspec.structs.asdict(product), "seconds": seconds}
        print(msgspec.json.encode(record, enc_hook=str).decode(), flush=True)
        return
    rate = f"{size(product.transferred / seconds)}/s" if product.transferred else "already complete"
    print(f"{product.path}  {size(product.size)}  {product.sha256}  {rate}", flush=True)


def _ended(complete: bool, what: str) -> int:
    if not complete and what:
        print(f"groundsim: {what}", file=sys.stderr)
    return 0 if complete else 1


def _contact(text: str) -> tuple[int, float]:
    try:
        budget, seconds = (float(word) for word in text.split(","))
        return int(budget), seconds
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not BYTES,SECONDS") from None
