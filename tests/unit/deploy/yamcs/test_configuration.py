from __future__ import annotations

from pathlib import Path

import yaml

from deploy.yamcs.configuration import INSTANCE, write_configuration
from telecommands.dictionary import EVENTS


def test_yamcs_connects_out_and_listens_on_the_loopback_only(tmp_path: Path) -> None:
    write_configuration(tmp_path, port=8091, gateway=("10.0.0.7", 5711), apid=9)
    server = yaml.safe_load((tmp_path / "etc" / "yamcs.yaml").read_text())
    (web,) = server["services"]
    assert web["args"] == {"address": "127.0.0.1", "port": 8091}
    instance = yaml.safe_load((tmp_path / "etc" / f"yamcs.{INSTANCE}.yaml").read_text())
    (link,) = instance["dataLinks"]
    assert (link["class"], link["host"], link["port"]) == (
        "org.yamcs.tctm.TcpTcTmDataLink", "10.0.0.7", 5711,
    )  # fmt: skip
    database = Path(instance["mdb"][0]["args"]["file"]).read_text()
    assert 'argumentName="apid" argumentValue="9"' in database


def test_every_event_has_its_text(tmp_path: Path) -> None:
    write_configuration(tmp_path, port=8091, gateway=("127.0.0.1", 5710), apid=100)
    events = yaml.safe_load((tmp_path / "etc" / "events.yaml").read_text())
    assert {one["eventId"] for one in events} >= set(EVENTS)


def test_files_come_over_a_connection_that_yamcs_opens(tmp_path: Path) -> None:
    address = ("127.0.0.1", 7001)
    write_configuration(tmp_path, port=8091, gateway=("127.0.0.1", 5710), apid=9, files=address)
    instance = yaml.safe_load((tmp_path / "etc" / f"yamcs.{INSTANCE}.yaml").read_text())
    _, link = instance["dataLinks"]
    assert (link["class"], link["host"], link["port"]) == (
        "org.yamcs.tctm.TcpTcTmDataLink", *address,
    )  # fmt: skip
    (files,) = [one for one in instance["services"] if one.get("name") == "cfdp"]
    assert files["args"]["incomingBucket"] == "products"
    streams = Path(instance["streamConfig"]["sqlFile"]).read_text()
    for stream in (link["tmStream"], link["tcStream"], files["args"]["inStream"]):
        assert stream in streams
