from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deploy.model.export import export, keep_weights, main, mean_of, read_network
from deploy.model.networks import onnx_network
from flightsw.errors import PackageInvalid, UsageError
from flightsw.model.dtacsnet import ContaminationHead, DtacsNet


def test_the_graph_answers_as_the_network_and_folds_normalisation(
    float_graph: Path, tiny_network: nn.Module
) -> None:
    graph = onnx.load(str(float_graph))
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    tiles = np.random.default_rng(0).random((5, 4, 32, 32), np.float32)
    with torch.no_grad():
        expected = ContaminationHead(tiny_network)(torch.from_numpy(tiles)).numpy()
    assert np.allclose(onnx_network(graph).logits(tiles), expected, atol=2e-3)


def test_weights_are_read_by_name(tmp_path: Path) -> None:
    network = DtacsNet()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    found = read_network(tmp_path / "weights.pt").state_dict()
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())


def test_kept_weights_are_the_network_in_half_precision(tmp_path: Path) -> None:
    network = DtacsNet()
    keep_weights(network.state_dict(), tmp_path / "weights.npz")
    found = read_network(tmp_path / "weights.npz").state_dict()
    assert all(
        torch.equal(found[name], value.half().float() if value.is_floating_point() else value)
        for name, value in network.state_dict().items()
    )


def test_the_mean_of_runs_is_that_of_each_weight_and_counts_are_those_of_the_first() -> None:
    runs = [
        {"weight": torch.full((2, 2), weight), "batches": torch.tensor(batches)}
        for weight, batches in ((1.0, 7), (2.0, 9), (6.0, 11))
    ]
    mean = mean_of(runs)
    assert torch.equal(mean["weight"], torch.full((2, 2), 3.0))
    assert mean["batches"] == 7
    with pytest.raises(UsageError, match="different networks"):
        mean_of([runs[0], {"weight": torch.ones(2, 2)}])


def test_kept_weights_are_the_mean_of_the_runs_with_two_logits_lowered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [DtacsNet().state_dict() for _ in range(2)]
    paths = [tmp_path / f"{number}.pt" for number in range(2)]
    for run, path in zip(runs, paths, strict=True):
        torch.save(run, path)
    kept = tmp_path / "kept.npz"
    asked = [str(paths[0]), str(tmp_path / "out.onnx"), "--average", str(paths[1])]
    for changed in (
        asked,
        [*asked[:2], "--lower-clear", "0.5"],
        [*asked[:2], "--lower-shadow", "1"],
    ):
        monkeypatch.setattr("sys.argv", ["export", *changed])
        with pytest.raises(UsageError, match="--keep"):
            main()
    asked += ["--lower-clear", "0.5", "--lower-shadow", "0.25", "--keep", str(kept)]
    monkeypatch.setattr("sys.argv", ["export", *asked])
    main()
    found = read_network(kept).state_dict()["segmentation_head.0.bias"]
    bias = torch.stack([run["segmentation_head.0.bias"] for run in runs]).mean(dim=0)
    expected = bias - torch.tensor([0.5, 0, 0, 0.25])
    assert torch.allclose(found, expected, atol=1e-3)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    network = DtacsNet()
    with torch.no_grad():
        network.segmentation_head[0].bias[0] = torch.nan
    with pytest.raises(PackageInvalid, match="the network answers with values that are not finite"):
        export(network, tmp_path / "out.onnx", "contamination", 32)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_answers_otherwise_is_not_left(
    tiny_network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.model.export._TOLERANCE", -1.0)
    with pytest.raises(PackageInvalid, match="gives answers that differ from the network's"):
        export(tiny_network, tmp_path / "out.onnx", "classes", 32)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_published_torchscript_file_exports(tiny_network: nn.Module, tmp_path: Path) -> None:
    tiles = torch.rand(1, 4, 32, 32)
    torch.jit.save(torch.jit.trace(tiny_network, tiles), str(tmp_path / "published.pt"))
    network = read_network(tmp_path / "published.pt", torchscript=True)
    export(network, tmp_path / "published.onnx", "classes", 32)
    found = onnx_network(onnx.load(str(tmp_path / "published.onnx"))).logits(tiles.numpy())
    with torch.no_grad():
        assert np.allclose(found, tiny_network(tiles), atol=2e-3)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (nn.Conv2d(13, 4, 1), "13 channels"),
        (nn.Conv2d(4, 3, 1), "3"),
        (nn.Conv2d(4, 4, 3), "30"),
    ],
)
def test_networks_of_another_shape_are_refused(
    network: nn.Module, found: str, tmp_path: Path
) -> None:
    with pytest.raises(PackageInvalid) as caught:
        export(network, tmp_path / "out.onnx", "contamination", 32)
    assert caught.value.fields["expected"] == "4 bands in, 2 or 4 classes out"
    assert found in str(caught.value.fields["found"])
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_that_holds_no_such_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(PackageInvalid, match=r"weights\.pt"):
        read_network(tmp_path / "weights.pt")
