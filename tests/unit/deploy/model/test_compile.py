from __future__ import annotations

import copy
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch

from deploy.model.calibrate import margin_shortfall, sample_tensors
from deploy.model.card_graph import card_graph, merit
from deploy.model.card_input import INPUT_SCALE
from deploy.model.compile import (
    Compilation,
    _choose,
    compile_package,
    main,
    read_provenance,
)
from deploy.model.export import export
from deploy.model.networks import (
    onnx_network,
    open_network,
    openvino_graph,
    package_network,
    torch_network,
)
from deploy.model.quantise import INPUT_ZERO_POINT, CardGraph, Ranges, quantise
from flightsw.errors import OutputNotWritable, PackageInvalid, UsageError
from flightsw.model.dtacsnet import CLASSES, ContaminationHead
from flightsw.model.package import load_package
from tests.unit.deploy.model.simulated_taught import (
    PROVENANCE,
    TILE,
    TinyNetwork,
    simulated_reflectance,
    write_taught_tiles,
)

ROOT = Path(__file__).resolve().parents[4]
ORDER = ("B02", "B03", "B04", "B08")
SIX = (*ORDER, "B11", "B12")
PUBLISHED_ORDER = ("B08", "B04", "B03", "B02")


def difference(logits: np.ndarray) -> np.ndarray:
    return logits[:, 1] - logits[:, 0]


def tiles_of(reflectance: np.ndarray) -> np.ndarray:
    steps = np.rint(reflectance / INPUT_SCALE) + INPUT_ZERO_POINT
    return np.ascontiguousarray(steps.clip(-128, 127).astype(np.int8).transpose(0, 2, 3, 1))


def with_bands_reversed(network: TinyNetwork) -> TinyNetwork:
    """The same network, as if trained with its bands the other way round."""
    reversed_network = copy.deepcopy(network)
    stem, refine = reversed_network.stem[0].weight.data, reversed_network.refine[0].weight.data
    stem.copy_(stem.flip(1))
    refine[:, -4:] = refine[:, -4:].flip(1)
    return reversed_network


def assert_same_answers(found: np.ndarray, expected: np.ndarray) -> None:
    """Masks agree, and so do the logits' differences within the range of the INT8 output."""
    assert ((found > 0) == (expected > 0)).mean() > 0.985
    assert np.corrcoef(found.ravel(), np.clip(expected, -8, 8).ravel())[0, 1] > 0.98


def test_the_int8_package_answers_as_the_float_network(
    released: Path, tiny_network: TinyNetwork
) -> None:
    tiles = simulated_reflectance(seed=9)
    expected = difference(torch_network(ContaminationHead(tiny_network)).logits(tiles))
    assert_same_answers(difference(package_network(load_package(released)).logits(tiles)), expected)


def test_what_rounding_takes_off_the_margin_is_given_back(float_graph: Path) -> None:
    graph, tiles = onnx.load(str(float_graph)), simulated_reflectance(seed=5)
    samples, original = sample_tensors(graph, tiles), onnx_network(graph)

    def shortfall(lowered: float) -> float:
        quantised = onnx_network(quantise(graph, samples, "extremes", lowered))
        return margin_shortfall(original, quantised, tiles)

    assert shortfall(0.5) == pytest.approx(shortfall(0) - 0.5, abs=0.02)
    asked: list[CardGraph] = []

    def shortfall(card: CardGraph) -> float:
        asked.append(card)
        return 0.5

    card = card_graph(graph, samples, "extremes", shortfall)
    answers = [
        difference(openvino_graph(one.model)(tiles_of(tiles)).transpose(0, 3, 1, 2).astype(int))
        for one in (*asked, card)
    ]
    steps = (answers[1] - answers[0])[np.abs(answers[0]) < 100].mean()
    # A step more, because equal steps of the two logits count as clear.
    assert steps * card.output_scale == pytest.approx(0.5 + card.output_scale, abs=0.012)


def test_the_last_convolution_is_not_rounded_before_the_answer(float_graph: Path) -> None:
    graph = onnx.load(str(float_graph))
    card = quantise(graph, sample_tensors(graph, simulated_reflectance(seed=5)), "extremes")
    last = [node for node in card.graph.node if node.op_type == "Conv"][-1]
    readers = {node.op_type for node in card.graph.node if last.output[0] in node.input}
    assert readers
    assert "QuantizeLinear" not in readers


def test_a_last_convolution_without_bias_gets_one(float_graph: Path) -> None:
    graph, tiles = onnx.load(str(float_graph)), simulated_reflectance(seed=5)
    last = [node for node in graph.graph.node if node.op_type == "Conv"][-1]
    del last.input[2:]
    samples, original = sample_tensors(graph, tiles), onnx_network(graph)
    lowered, as_it_is = (
        margin_shortfall(original, onnx_network(quantise(graph, samples, "extremes", by)), tiles)
        for by in (0.5, 0.0)
    )
    assert lowered == pytest.approx(as_it_is - 0.5, abs=0.02)


def test_a_correction_that_makes_it_worse_is_left_out(float_graph: Path) -> None:
    graph = onnx.load(str(float_graph))
    samples, asked = sample_tensors(graph, simulated_reflectance(seed=5)), list[CardGraph]()

    def worse_each_time(card: CardGraph) -> float:
        asked.append(card)
        return 0.1 if card is asked[0] else -0.3

    assert card_graph(graph, samples, "extremes", worse_each_time) is asked[0]


@pytest.mark.parametrize("kind", get_args(Ranges))
def test_the_default_kind_of_range_is_the_one_that_agrees_best_on_the_validation_tiles(
    float_graph: Path, taught: Path, tmp_path: Path, kind: Ranges
) -> None:
    """What each kind is held against is here that kind's own package: only it agrees wholly."""
    compilation = Compilation(PROVENANCE, ranges=kind, windows=1)
    package = compile_package(float_graph, tmp_path / f"{kind}-1.0", taught, compilation)
    graph, original = onnx.load(str(float_graph)), package_network(package)
    chosen = _choose(graph, original, taught, Compilation(PROVENANCE, windows=1))
    assert chosen == _choose(graph, original, taught, compilation)


def test_the_worst_tile_and_the_mean_both_count_in_the_choice_of_ranges() -> None:
    figures = {"mean_agreement": 0.98, "worst_agreement": 0.90}
    for name in figures:
        assert merit(figures | {name: 0.99}) > merit(figures)


def test_a_network_with_other_band_order_works_in_its_own_order(
    tiny_network: TinyNetwork, taught: Path, tmp_path: Path
) -> None:
    export(with_bands_reversed(tiny_network), tmp_path / "reordered.onnx", "contamination", TILE)
    compilation = Compilation(
        PROVENANCE, bands=PUBLISHED_ORDER, levels=("L1C",), ranges="percentile", windows=4
    )
    package = compile_package(
        tmp_path / "reordered.onnx", tmp_path / "cloud4bands-1.0", taught, compilation
    )
    assert (package.bands, package.levels) == (PUBLISHED_ORDER, ("L1C",))
    tiles = simulated_reflectance(seed=9)
    expected = difference(torch_network(ContaminationHead(tiny_network)).logits(tiles))
    assert_same_answers(difference(package_network(package).logits(tiles)), expected)


def with_more_bands(network: TinyNetwork, bands: int) -> TinyNetwork:
    """The same network, which also sees a little of further bands."""
    wide = TinyNetwork(bands).eval()
    weights = network.state_dict()
    generator = torch.Generator().manual_seed(4)
    for name in ("stem.0.weight", "refine.0.weight"):
        of_bands = torch.randn(12, bands - 4, 3, 3, generator=generator) / 20
        weights[name] = torch.cat((weights[name], of_bands), dim=1)
    wide.load_state_dict(weights)
    return wide


def test_a_package_of_other_bands_sees_them(tiny_network: TinyNetwork, tmp_path: Path) -> None:
    network = with_more_bands(tiny_network, len(SIX))
    parts = ("training", "validation", "held_out")
    taught = write_taught_tiles(tmp_path / "taught", 64, parts, SIX)
    export(network, tmp_path / "six.onnx", "contamination", TILE, len(SIX))
    compilation = Compilation(PROVENANCE, bands=SIX, ranges="percentile", windows=4)
    package = compile_package(tmp_path / "six.onnx", tmp_path / "six-1.0", taught, compilation)
    assert package.bands == SIX
    assert package.golden_tiles().tiles.shape[-1] == len(SIX)
    assert open_network(package.folder).bands == SIX
    tiles = simulated_reflectance(9, SIX)
    expected = difference(torch_network(ContaminationHead(network), SIX).logits(tiles))
    found = difference(package_network(package).logits(tiles))
    assert_same_answers(found, expected)
    tiles[:, 4:] = 0
    assert (difference(package_network(package).logits(tiles)) != found).mean() > 0.2


def test_tiles_without_a_band_of_the_package_are_named(
    tiny_network: TinyNetwork, taught: Path, tmp_path: Path
) -> None:
    network = with_more_bands(tiny_network, len(SIX))
    export(network, tmp_path / "six.onnx", "contamination", TILE, len(SIX))
    compilation = Compilation(PROVENANCE, bands=SIX, ranges="percentile", windows=4)
    with pytest.raises(UsageError, match="lacks B11, B12; it has B02, B03, B04, B08"):
        compile_package(tmp_path / "six.onnx", tmp_path / "six-1.0", taught, compilation)


@pytest.mark.parametrize(
    ("bands", "cause"),
    [
        (("B02", "B03", "B04", "B02"), "must be different bands of Sentinel-2"),
        (("B02", "B03", "B04", "B13"), "must be different bands of Sentinel-2"),
        (("B02", "B03", "B04", "B10"), "has no B10"),
        (("B02", "B03", "B04"), "has 4 input bands"),
    ],
)
def test_bands_that_cannot_be_are_refused_with_the_reason(
    float_graph: Path, taught: Path, tmp_path: Path, bands: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        compile_package(
            float_graph, tmp_path / "tiny-2.0", taught, Compilation(PROVENANCE, bands=bands)
        )
    assert not (tmp_path / "tiny-2.0").exists()


@pytest.mark.parametrize("levels", [("L1D",), ("L1C", "L1C"), ("",)])
def test_levels_that_are_none_are_refused_before_anything_is_written(
    float_graph: Path, taught: Path, tmp_path: Path, levels: tuple[str, ...]
) -> None:
    compilation = Compilation(PROVENANCE, levels=levels)
    with pytest.raises(UsageError, match="must be different ones of L1C, L2A"):
        compile_package(float_graph, tmp_path / "tiny-2.0", taught, compilation)
    assert not (tmp_path / "tiny-2.0").exists()


@pytest.mark.parametrize("distances", ["", "10,", "10,0", "10,2.5", "ten"])
def test_distances_that_are_not_metres_are_refused(
    float_graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    distances: str,
) -> None:
    provenance = str(ROOT / "deploy" / "model" / "provenance.toml")
    options = ["--calibration", str(tmp_path), "--provenance", provenance]
    command = ["compile", str(float_graph), str(tmp_path / "tiny-2.0"), *options]
    monkeypatch.setattr("sys.argv", [*command, "--distances", distances])
    with pytest.raises(UsageError, match="must be whole metres above 0"):
        main()


def test_a_four_class_package_keeps_the_classes(
    tiny_network: TinyNetwork, taught: Path, tmp_path: Path
) -> None:
    export(tiny_network, tmp_path / "classes.onnx", "classes", TILE)
    compilation = Compilation(PROVENANCE, ranges="percentile", windows=4)
    package = compile_package(
        tmp_path / "classes.onnx", tmp_path / "classes-1.0", taught, compilation
    )
    assert package.classes == CLASSES
    tiles = simulated_reflectance(seed=9)
    found = package_network(package).logits(tiles).argmax(axis=1)
    expected = torch_network(tiny_network).logits(tiles).argmax(axis=1)
    assert (found == expected).mean() > 0.98


def test_every_convolution_is_in_int8_with_one_weight_scale_a_channel(released: Path) -> None:
    graph = onnx.load(str(released / "compiled_model" / "quantized_model.onnx")).graph
    makers = {name: node for node in graph.node for name in node.output}
    sizes = {value.name: value.dims for value in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 5
    for node in convolutions:
        tile, weight = makers[node.input[0]], makers[node.input[1]]
        assert (tile.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        channels = sizes[weight.input[0]][0]
        assert list(sizes[weight.input[1]]) == [channels]


def test_the_graph_takes_and_gives_int8_nhwc_of_any_batch(released: Path) -> None:
    graph = onnx.load(str(released / "compiled_model" / "quantized_model.onnx")).graph
    for value, channels in ((graph.input[0], 4), (graph.output[0], 2)):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.INT8
        assert tensor.shape.dim[0].dim_param == "N"
        assert [size.dim_value for size in tensor.shape.dim][1:] == [TILE, TILE, channels]


@pytest.mark.parametrize(
    ("name", "error"), [("latest.pt", UsageError), ("network.npz", PackageInvalid)]
)
def test_weights_that_no_engine_could_open_are_not_released(
    float_graph: Path, taught: Path, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    weights = tmp_path / name
    np.savez(tmp_path / "network.npz", something=np.zeros(3))
    (tmp_path / "latest.pt").write_bytes(b"what training wrote")
    compilation = Compilation(PROVENANCE, ranges="extremes", windows=1, weights=weights)
    with pytest.raises(error, match=name):
        compile_package(float_graph, tmp_path / "unfit-1.0", taught, compilation)
    assert not (tmp_path / "unfit-1.0").exists()


def test_nothing_is_overwritten_and_nothing_is_left_behind(
    float_graph: Path, taught: Path, tmp_path: Path
) -> None:
    out = tmp_path / "taken-1.0"
    out.mkdir()
    compilation = Compilation(PROVENANCE, ranges="extremes", windows=1)
    with pytest.raises(OutputNotWritable, match="taken"):
        compile_package(float_graph, out, taught, compilation)
    assert [path.name for path in tmp_path.iterdir()] == ["taken-1.0"]


@pytest.mark.parametrize(("name", "bands"), [("nameless", ORDER), ("short-1.0", ORDER[:3])])
def test_contradictory_requests_are_refused(
    float_graph: Path, taught: Path, tmp_path: Path, name: str, bands: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError):
        compile_package(float_graph, tmp_path / name, taught, Compilation(PROVENANCE, bands=bands))
    assert not list(tmp_path.iterdir())


def test_a_package_states_its_temperature_and_how_far_its_probabilities_are_off(
    released: Path,
) -> None:
    description = load_package(released)
    assert description.temperature > 0
    assert description.temperature != 1
    assert 0 <= description.measured["expected_calibration_error"] <= 1


def test_a_package_states_the_origin_of_its_own_weights(released: Path) -> None:
    description = load_package(released)
    assert (description.licence, description.teacher) == ("MIT", None)
    notice = (released / "NOTICE").read_text()
    assert "weights of the Tiny network" in notice
    assert "simulated (CC0-1.0); none" in notice
    assert "DTACSNet" not in notice


def test_weights_of_unstated_origin_are_refused(
    float_graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "foreign-1.0"
    command = ["compile", str(float_graph), str(out), "--calibration", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--provenance" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("content", [None, "licence = 1", "licence = 'MIT'", "\xff"])
def test_a_provenance_file_that_does_not_state_it_is_refused(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "provenance.toml"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=r"provenance\.toml"):
        read_provenance(path)


def test_the_origin_of_the_weights_that_ship_is_that_of_their_package() -> None:
    stated, shipped = read_provenance(ROOT / "deploy/model/provenance.toml"), load_package()
    assert stated.licence == shipped.licence
    assert f"weights of the {stated.network} network" in (shipped.folder / "NOTICE").read_text()
