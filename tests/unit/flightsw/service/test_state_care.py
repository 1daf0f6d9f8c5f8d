from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.jobs.queue import JobQueue
from flightsw.service.state_care import StateCare
from flightsw.state import StateFile
from telecommands.dictionary import Code, JobState, ProcessScene


def test_only_what_attempts_that_were_cut_short_left_is_removed(tmp_path: Path) -> None:
    """Of a kill between a product's rename and its record, whatever became of the job."""
    with StateFile(tmp_path) as state:
        jobs, catalogue = JobQueue(state, "sat-a", lambda: 10), ProductCatalogue(state)
        ids = {}
        for name in ("whole", "failed", "waiting", "lost"):
            ids[name] = jobs.add(name, ProcessScene(scene="S.SAFE"), 0).id
            folder = tmp_path / "products" / ids[name]
            folder.mkdir(parents=True)
            (folder / "mask.tif").touch()
        jobs.next(1)
        jobs.end(ids["whole"], JobState.COMPLETED, 2)
        file = NewProduct("geotiff", tmp_path / "products" / ids["whole"] / "mask.tif", 0, "", 0.5)
        catalogue.delete(catalogue.add(ids["whole"], [file], 2)[0].product)
        stale = tmp_path / "products" / ids["whole"] / ".scene.1.partial"
        stale.mkdir(parents=True)  # its removal was not on the disk when the power was cut
        jobs.end(ids["failed"], JobState.FAILED, 3, Code.ATTEMPTS_EXHAUSTED, "the service died")
        jobs.end(ids["lost"], JobState.FAILED, 3, Code.STATE_LOST, "nobody knows")
        (tmp_path / "products" / "job-99-unknown").mkdir()
        nothing: Any = SimpleNamespace()
        care = StateCare(state, jobs, catalogue, nothing, nothing, nothing, lambda: None)
        care.remove_remains(tmp_path / "products")
        left = {path.name for path in (tmp_path / "products").iterdir()}
        assert not stale.exists()
        assert left == {ids["whole"], ids["lost"], "job-99-unknown"}
        care.remove_remains(tmp_path / "absent")
