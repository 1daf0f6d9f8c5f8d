"""``groundsim fetch``: products come whole, and the exit status says whether all did."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from telecommands.groundsim.cli import main
from tests.unit.telecommands.flight_stand_in import REPORT, FlightStandIn

Capture = pytest.CaptureFixture[str]


def test_a_contact_is_opened_and_everything_fetched(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.offer("a.json", REPORT)
    flight.offer("b.json", REPORT[:100])
    out = tmp_path / "out"
    assert main(["fetch", str(out), "--contact", "1e6,60", *options]) == 0
    assert flight.ran[0].args == {"bytes": 1_000_000, "seconds": 60.0}
    assert (out / "sat-a" / "job-1" / "a.json").read_bytes() == REPORT
    assert (out / "sat-a" / "job-1" / "b.json").read_bytes() == REPORT[:100]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert hashlib.sha256(REPORT).hexdigest() in lines[0]
    assert "19.0 kB" in lines[0]
    assert flight.downlink.delivered == ["product-a.json", "product-b.json"]


def test_json_is_an_object_a_product(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.contact_open = True
    flight.offer("a.json", REPORT)
    assert main(["fetch", str(tmp_path), "--json", *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["path"] == str(tmp_path / "sat-a" / "job-1" / "a.json")
    assert record["size"] == record["transferred"] == len(REPORT)


def test_without_a_contact_products_may_be_left_and_that_is_1(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.offer("a.json", REPORT)
    assert main(["fetch", str(tmp_path), *options]) == 1
    assert "no contact window is open" in capsys.readouterr().err
    assert flight.downlink.delivered == []


def test_an_empty_queue_is_all_there_is(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.contact_open = True
    assert main(["fetch", str(tmp_path), *options]) == 0
    assert main(["fetch", str(tmp_path), "--count", "1", *options]) == 1
    assert "received 0 of 1 products" in capsys.readouterr().err


def test_count_ends_early_and_wait_continues(
    flight: FlightStandIn, options: list[str], tmp_path: Path
) -> None:
    flight.contact_open = True
    for name in ("a", "b", "c"):
        flight.offer(name, REPORT)
    assert main(["fetch", str(tmp_path), "--count", "2", *options]) == 0
    assert flight.downlink.delivered == ["product-a", "product-b"]
    statuses: list[int] = []
    command = ["fetch", str(tmp_path / "late"), "--count", "1", "--wait", "30", *options]
    flight.downlink = type(flight.downlink)([])
    waiting = threading.Thread(target=lambda: statuses.append(main(command)))
    waiting.start()
    while not flight.downlink.requests:  # it has asked, and there was nothing
        assert waiting.is_alive()
    flight.offer("late", REPORT)
    waiting.join(20)
    assert statuses == [0]


def test_a_damaged_product_is_reported_and_the_others_still_arrive(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.contact_open = True
    flight.offer("../escape", REPORT)
    flight.offer("good", REPORT)
    assert main(["fetch", str(tmp_path / "out"), *options]) == 1
    assert "not a plain file name" in capsys.readouterr().err
    assert (tmp_path / "out" / "sat-a" / "job-1" / "good").read_bytes() == REPORT
    assert not (tmp_path / "out" / "escape").exists()


def test_a_product_that_fails_again_and_again_ends_the_waiting(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.contact_open = True
    flight.offer("../escape", REPORT)
    assert main(["fetch", str(tmp_path / "out"), "--wait", "600", *options]) == 1
    assert capsys.readouterr().err.count("not a plain file name") == 2


def test_a_service_that_offers_a_confirmed_product_again_and_again_ends_the_fetch(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    class Forgets(list[str]):
        def append(self, _product: str) -> None:
            pass

    flight.contact_open = True
    flight.offer("good", REPORT)
    flight.downlink.delivered = Forgets()
    assert main(["fetch", str(tmp_path), "--wait", "600", *options]) == 1
    assert "product-good is offered again and again" in capsys.readouterr().err


def test_a_service_whose_products_all_fail_ends_it(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.contact_open = True
    for number in range(150):
        flight.offer(f".{number}", REPORT)
    assert main(["fetch", str(tmp_path), "--wait", "600", *options]) == 1
    assert "not a plain file name" in capsys.readouterr().err


def test_a_contact_that_is_rejected_is_3(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["fetch", str(tmp_path), "--contact", "0,60", *options]) == 2
    assert main(["fetch", str(tmp_path), "--contact", "lots", *options]) == 2
    flight.rejects = True
    assert main(["fetch", str(tmp_path), "--contact", "1,60", *options]) == 3
    assert "NOT_IN_THIS_MODE" in capsys.readouterr().err
