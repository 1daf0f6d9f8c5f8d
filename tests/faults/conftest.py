"""What the campaigns' samples share."""

from __future__ import annotations

import pytest

from deploy.faults.laboratory import Laboratory


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """A small scene, and two model packages of one layer."""
    return Laboratory(tmp_path_factory.mktemp("laboratory"))
