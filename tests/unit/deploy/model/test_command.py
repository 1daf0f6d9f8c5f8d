"""Commands end with one line that names what is wrong."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

_RELEASE = "flightsw/model/shipped"


def _fails(
    command: str,
    *arguments: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The one line that the command prints before it ends with a status of its own."""
    monkeypatch.setattr(sys, "argv", [command, *map(str, arguments)])
    monkeypatch.delitem(sys.modules, f"deploy.model.{command}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"deploy.model.{command}", run_name="__main__")
    assert ended.value.code not in (0, None, 1)
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def test_label_names_the_folder_without_images_and_the_file_with_other_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, bands = tmp_path / "empty", tmp_path / "bands"
    empty.mkdir()
    bands.mkdir()
    np.savez(bands / "thirteen.npz", bands=np.ones((13, 8, 8), np.uint16))
    table = tmp_path / "mine.toml"
    table.write_text('[[source]]\nfiles = "*.npz"\nlevel = "l2a"\n')
    out = tmp_path / "out"
    line = _fails("label", empty, out, monkeypatch=monkeypatch, capsys=capsys)
    assert line.startswith(f"label: {empty} has none of the images")
    line = _fails("label", bands, out, "--sources", table, monkeypatch=monkeypatch, capsys=capsys)
    assert "thirteen.npz has 13 bands" in line
    assert not out.exists()


def test_train_names_the_folder_without_tiles_and_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = _fails("train", tmp_path, out, monkeypatch=monkeypatch, capsys=capsys)
    assert line == f"train: {tmp_path} has no .npz file. Write them with deploy.model.label"
    assert not out.exists()


@pytest.mark.parametrize("content", [None, "not a network"])
def test_evaluate_names_a_file_that_is_not_a_network(
    content: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = tmp_path / "network.onnx"
    if content is not None:
        network.write_text(content)
    tile = {"bands": np.ones((4, 8, 8), np.uint16), "label": np.zeros((8, 8), np.uint8)}
    np.savez(tmp_path / "chip.npz", **tile)
    line = _fails("evaluate", network, tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert line.startswith(f"evaluate: {network} is not an ONNX network")
