from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.config import read_settings
from flightsw.errors import UsageError


def test_folders_are_read_from_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "flightsw.toml"
    file.write_text('model = "/models/1"\n[service]\nstate_dir = "/state"\n')
    settings = read_settings(file)
    assert settings.model == Path("/models/1")
    assert settings.service.state_dir == Path("/state")
    assert settings.service.inbox == Path("/state/model_inbox")


def test_what_is_no_folder_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "flightsw.toml"
    file.write_text("[service]\nscene_root = 5\n")
    with pytest.raises(UsageError, match=r"path.*service\.scene_root"):
        read_settings(file)
