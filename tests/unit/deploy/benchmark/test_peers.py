from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.benchmark.decode import band_images
from deploy.benchmark.peers import OURS, PEERS, run_peer
from flightsw.errors import UsageError
from tests.conftest import Simulated


def test_a_decoder_takes_time_and_memory_of_its_own(simulated: Simulated) -> None:
    found = run_peer("glymur", simulated.scene, 20)
    assert "absent" not in found
    assert found["usage"]["seconds"] > 0
    assert found["usage"]["peak_bytes"] >= found["usage"]["idle_bytes"] > 0


@pytest.mark.parametrize("name", ["rasterio", "flightsw-twin", OURS])
def test_a_peer_runs_a_scene_to_its_end(simulated: Simulated, name: str) -> None:
    found = run_peer(name, simulated.scene, 20)
    assert "absent" not in found
    assert (found["name"], found["ground_sample_distance"]) == (name, 20)
    assert found["usage"]["seconds"] > 0


def test_csmask_runs_a_scene_to_its_end(simulated: Simulated) -> None:
    pytest.importorskip("ukis_csmask")
    found = run_peer("ukis-csmask", simulated.scene, 20)
    assert "absent" not in found
    assert found["usage"]["seconds"] > 0


def test_a_peer_whose_library_does_not_load_says_so(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ukis_csmask.py").write_text('raise ImportError("spoiled")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    found = run_peer("ukis-csmask", simulated.scene, 20)
    assert "usage" not in found
    assert "spoiled" in found["absent"]


def test_a_peer_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    found = run_peer("rasterio", tmp_path, 10)
    assert "usage" not in found
    assert "is not a SAFE product" in found["absent"]
    assert len(found["absent"].splitlines()) == 1


def test_a_peer_that_takes_too_long_is_ended(simulated: Simulated) -> None:
    found = run_peer("rasterio", simulated.scene, 10, limit_seconds=0.01)
    assert found["absent"] == "did not end within 0.01 s"


def test_at_20_m_every_second_pixel_of_the_10_m_files_is_wanted(simulated: Simulated) -> None:
    assert band_images(simulated.scene, 20).step == 2
    paths = band_images(simulated.scene, 10).paths
    assert [path.name[-11:-8] for path in paths] == ["B02", "B03", "B04", "B08"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a SAFE product"):
        band_images(tmp_path, 10)


def test_every_peer_names_its_licence() -> None:
    assert PEERS["ukis-csmask"].licence == "Apache-2.0"
    assert all(peer.licence for peer in PEERS.values())
