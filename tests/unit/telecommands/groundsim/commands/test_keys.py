"""``groundsim keys``: what is made, printed and refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from telecommands.groundsim.cli import main
from telecommands.keys import fingerprint, generate_curve_pair, read_curve_public

Capture = pytest.CaptureFixture[str]


def test_secrets_are_for_their_owner_and_never_shown(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", "generate", "--keys", str(folder)]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"operator.key", "operator.key_secret", "operator.telecommand_key"}
    shown = capsys.readouterr().out
    for name in ("operator.key_secret", "operator.telecommand_key"):
        path = folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().split()[-1].strip('"') not in shown


def test_keys_are_never_overwritten(tmp_path: Path, capsys: Capture) -> None:
    assert main(["keys", "generate", "--keys", str(tmp_path)]) == 0
    before = (tmp_path / "operator.key").read_bytes()
    assert main(["keys", "generate", "--keys", str(tmp_path)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "operator.key").read_bytes() == before


def test_nobody_may_have_the_services_name(tmp_path: Path, capsys: Capture) -> None:
    assert main(["keys", "generate", "service", "--keys", str(tmp_path)]) == 1
    assert "Choose another name" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_another_service_is_trusted_only_by_force(tmp_path: Path, capsys: Capture) -> None:
    ours = ["--keys", str(tmp_path / "ours")]
    publics = []
    for name in ("one", "two"):
        generate_curve_pair(tmp_path / name, "service")
        publics.append(tmp_path / name / "service.key")
    assert main(["keys", "trust", str(publics[0]), *ours]) == 0
    assert fingerprint(read_curve_public(publics[0])) in capsys.readouterr().out
    assert main(["keys", "trust", str(publics[0]), *ours]) == 0
    assert main(["keys", "trust", str(publics[1]), *ours]) == 1
    assert "--force" in capsys.readouterr().err
    kept = tmp_path / "ours" / "service.key"
    assert read_curve_public(kept) == read_curve_public(publics[0])
    assert main(["keys", "trust", str(publics[1]), "--force", *ours]) == 0
    assert read_curve_public(kept) == read_curve_public(publics[1])


def test_a_secret_file_given_as_public_leaves_its_secret_behind(tmp_path: Path) -> None:
    secret = generate_curve_pair(tmp_path / "flight", "service")
    assert main(["keys", "trust", str(secret), "--keys", str(tmp_path / "ours")]) == 0
    assert "secret" not in (tmp_path / "ours" / "service.key").read_text()


def test_the_list_shows_what_each_key_may_do(tmp_path: Path, capsys: Capture) -> None:
    ours = ["--keys", str(tmp_path)]
    assert main(["keys", "list", *ours]) == 1
    main(["keys", "generate", "alice", *ours])
    main(["keys", "generate", "bob", "--watch-only", *ours])
    (tmp_path / "broken.key").write_text("nothing")
    capsys.readouterr()
    assert main(["keys", "list", *ours]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["alice"].endswith("commanding, telemetry, products")
    assert lines["bob"].split()[1:] == ["telemetry,", "products"]
    assert "unusable" in lines["broken"]


def test_a_rotation_needs_a_time_and_keys(tmp_path: Path, capsys: Capture) -> None:
    ours = ["--keys", str(tmp_path)]
    assert main(["keys", "rotate", *ours]) == 1
    assert "groundsim keys generate operator" in capsys.readouterr().err
    assert main(["keys", "generate", *ours]) == 0
    generate_curve_pair(tmp_path / "board", "service", "sat-a")
    assert main(["keys", "trust", str(tmp_path / "board" / "service.key"), *ours]) == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("operator.*")}
    assert main(["keys", "rotate", "--old-until", "soon", *ours]) == 2
    assert "--old-until 'soon' is not a time" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.glob("operator.*")} == before
