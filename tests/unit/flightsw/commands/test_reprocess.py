"""What the command refuses before a worker is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.cli import main

pytest.importorskip("distributed", reason="needs the extra archive")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["scenes.txt", "out"], "scenes.txt lists no scenes"),
        (["absent", "out"], "absent does not exist"),
        (["scenes.txt", "out", "--products", "maks"], "maks is not a product"),
        (["scenes.txt", "out", "--compare", "scenes.txt"], "is not the table of a run"),
        (["scenes.txt", "out", "--copies", "c", "--decode", "fast"], "of a fast decode"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenes.txt").write_text("# none\n")
    assert main(["reprocess", *arguments]) in (2, 3)
    assert sentence in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_number_of_workers_must_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reprocess", "scenes", "out", "--workers", "0"])
    assert "'0' is not a number of workers from 1 to 4096" in capsys.readouterr().err
