from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from flightsw.errors import EngineUnavailable, PackageInvalid
from flightsw.model.dtacsnet import ContaminationHead, DtacsNet
from flightsw.model.network import (
    for_inference,
    in_band_order,
    open_network,
    open_torchscript,
    read_dtacsnet,
    read_weights,
)
from flightsw.model.package import ModelPackage, load_package
from tests.unit.flightsw.model.torchscript_file import (
    BANDS,
    CLASSES,
    small_network,
    write_torchscript,
)

TWO = ("clear", "contaminated")


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return load_package()


@pytest.fixture(scope="module")
def tiles() -> Tensor:
    return torch.rand(2, 4, 32, 64, generator=torch.Generator().manual_seed(3))


def answers(network: nn.Module, tiles: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(tiles)
    return found


def test_the_package_s_network_answers_its_two_classes(
    package: ModelPackage, tiles: Tensor
) -> None:
    assert package.network is not None
    plain = DtacsNet()
    plain.load_state_dict(read_weights(package.network))
    network = open_network(package)
    assert not network.training
    torch.testing.assert_close(
        answers(network, tiles), answers(ContaminationHead(plain.eval()), tiles)
    )


def test_a_package_of_four_classes_gets_them_all(package: ModelPackage, tiles: Tensor) -> None:
    assert answers(open_network(replace(package, classes=CLASSES)), tiles).shape == (2, 4, 32, 64)


def test_a_package_of_three_classes_is_invalid(package: ModelPackage) -> None:
    with pytest.raises(PackageInvalid) as refused:
        open_network(replace(package, classes=("clear", "cloud", "shadow")))
    assert refused.value.fields["expected"] == "2 or 4 classes"


def test_a_package_without_a_network_says_so(package: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="holds no floating-point network"):
        open_network(replace(package, folder=tmp_path))


@pytest.mark.parametrize(
    "content", [b"rubbish", b"PK\x03\x04 cut off", b""], ids=["text", "cut off", "empty"]
)
@pytest.mark.parametrize("name", ["network.npz", "weights.pt"])
def test_a_file_without_weights_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PackageInvalid, match=rf"{name}.*is not a state_dict"):
        read_dtacsnet(tmp_path / name, 4)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in DtacsNet(bands=5).state_dict().items()}
    np.savez(tmp_path / "network.npz", **arrays)
    with pytest.raises(PackageInvalid) as refused:
        read_dtacsnet(tmp_path / "network.npz", 4)
    assert "encoder.features.0.0.weight" in str(refused.value.fields["found"])


def test_folded_networks_answer_as_they_did(tiles: Tensor) -> None:
    network = small_network()
    expected = answers(network, tiles)
    folded = for_inference(network)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    torch.testing.assert_close(answers(folded, tiles), expected, atol=1e-5, rtol=1e-5)


def test_the_package_s_network_is_folded_within_float_rounding(
    package: ModelPackage, tiles: Tensor
) -> None:
    expected = answers(open_network(package), tiles)
    folded = for_inference(open_network(package))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    torch.testing.assert_close(answers(folded, tiles), expected, atol=1e-4, rtol=0)


def test_a_published_file_answers_as_its_network(tmp_path: Path, tiles: Tensor) -> None:
    path = write_torchscript(small_network(), tmp_path / "published.pt")
    expected = answers(small_network(), tiles)
    torch.testing.assert_close(answers(open_torchscript(path, BANDS, CLASSES), tiles), expected)
    torch.testing.assert_close(
        answers(open_torchscript(path, BANDS, TWO), tiles),
        torch.stack((expected[:, 0], expected[:, 1:].amax(1)), 1),
    )


def test_probabilities_become_logits_that_give_them_back(tmp_path: Path, tiles: Tensor) -> None:
    published = nn.Sequential(*small_network(), nn.Softmax(dim=1))
    path = write_torchscript(published, tmp_path / "published.pt")
    logits = answers(open_torchscript(path, BANDS, CLASSES), tiles)
    torch.testing.assert_close(logits.softmax(dim=1), answers(published, tiles))
    assert not torch.allclose(logits.exp().sum(dim=1), torch.tensor(2.0))


def test_a_certain_class_has_finite_logits(tmp_path: Path) -> None:
    published = nn.Sequential(*small_network(), nn.Softmax(dim=1))
    path = write_torchscript(published, tmp_path / "published.pt")
    logits = answers(open_torchscript(path, BANDS, CLASSES), torch.full((1, 4, 32, 32), 1e6))
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("network", "bands", "found"),
    [
        (small_network(bands=13), 13, "to have 13 channels, but got 4"),
        (small_network(classes=3), 4, "[1, 3, 32, 32]"),
        (small_network(classes=2), 4, "[1, 2, 32, 32]"),
        (nn.Conv2d(4, 4, 3), 4, "[1, 4, 30, 30]"),
        (nn.Sequential(small_network(), nn.Flatten()), 4, "[1, 4096]"),
    ],
    ids=["thirteen bands", "three classes", "two classes", "smaller answer", "flat answer"],
)
def test_published_files_of_another_shape_are_refused(
    network: nn.Module, bands: int, found: str, tmp_path: Path
) -> None:
    path = write_torchscript(network, tmp_path / "published.pt", bands)
    with pytest.raises(PackageInvalid) as refused:
        open_torchscript(path, BANDS, CLASSES)
    assert refused.value.subject == str(path)
    assert refused.value.fields["expected"] == "4 bands in, 4 classes out"
    assert found in str(refused.value.fields["found"])
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_torchscript_is_refused(tmp_path: Path) -> None:
    torch.save(small_network().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "page.pt").write_text("<html>404</html>")
    for name in ("weights.pt", "page.pt"):
        with pytest.raises(PackageInvalid, match="is not a TorchScript file") as refused:
            open_torchscript(tmp_path / name, BANDS, CLASSES)
        assert refused.value.fields["expected"] == "a TorchScript file"
        assert refused.value.fields["found"]


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match=r"published\.pt does not exist"):
        open_torchscript(tmp_path / "published.pt", BANDS, CLASSES)


def test_channels_are_put_in_the_network_s_own_order(tiles: Tensor) -> None:
    turned = in_band_order(small_network(), BANDS, BANDS[::-1])
    torch.testing.assert_close(answers(turned, tiles.flip(1)), answers(small_network(), tiles))
    cycled = in_band_order(small_network(), ("a", "b", "c", "d"), ("c", "a", "d", "b"))
    torch.testing.assert_close(
        answers(cycled, tiles[:, [2, 0, 3, 1]]), answers(small_network(), tiles)
    )
