"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real Sentinel-2 data beside the project; skips the test where it is absent."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("real Sentinel-2 data (../shared/data) is not beside the project")
    return _SHARED_DATA
