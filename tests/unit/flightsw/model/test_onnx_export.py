from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from flightsw.model.onnx_export import export_onnx

_WITHOUT_ONNX = """
import sys
sys.modules["onnx"] = None  # an import of it fails
import runpy
runpy.run_path(sys.argv[1])["export_here"](sys.argv[2])
"""


def network(bands: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(bands, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))


def export_here(out: str) -> None:
    export_onnx(network(), Path(out), 32)


def test_a_flight_unit_without_the_package_onnx_writes_the_same_graph(tmp_path: Path) -> None:
    here, there = tmp_path / "here.onnx", tmp_path / "there.onnx"
    export_here(str(here))
    command = [sys.executable, "-c", _WITHOUT_ONNX, __file__, str(there)]
    subprocess.run(command, check=True, timeout=120)
    assert there.read_bytes() == here.read_bytes()


def test_the_graph_takes_any_number_of_tiles_and_answers_as_the_network(tmp_path: Path) -> None:
    import onnxruntime  # noqa: PLC0415  # needs no onnx, but flight units have neither

    module = network(bands=6)
    export_onnx(module, tmp_path / "network.onnx", 64, bands=6)
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    for count in (1, 3):
        tiles = torch.rand(count, 6, 64, 64)
        (found,) = session.run(["logits"], {"reflectance": tiles.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), module(tiles), atol=1e-4, rtol=1e-4)
