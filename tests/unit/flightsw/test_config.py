from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flightsw.config import PipelineSettings, ServiceSettings, read_settings
from flightsw.errors import UsageError
from telecommands.dictionary import DOWNLINK_PORT, TELECOMMAND_PORT, TELEMETRY_PORT


def test_folders_are_read_from_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "flightsw.toml"
    file.write_text('model = "/models/1"\n[service]\nstate_dir = "/state"\n')
    settings = read_settings(file)
    assert settings.model == Path("/models/1")
    assert settings.service.state_dir == Path("/state")
    assert settings.service.inbox == Path("/state/model_inbox")


def test_what_is_not_a_folder_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "flightsw.toml"
    file.write_text("[service]\nscene_root = 5\n")
    with pytest.raises(UsageError, match=r"scene_root = 5 in \[service\], .* path"):
        read_settings(file)


def test_settings_in_another_encoding_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "flightsw.toml"
    file.write_bytes('[service]\nscene_root = "/sz\xe9nes"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match="utf-8"):
        read_settings(file)


def test_settings_of_a_scene_travel_as_json() -> None:
    chosen = PipelineSettings(fusion="blend", queue_depth=4, stall_seconds=7.5)
    assert msgspec.json.decode(msgspec.json.encode(chosen), type=PipelineSettings) == chosen


def test_the_links_are_encrypted_and_on_the_loopback_by_default() -> None:
    service = ServiceSettings()
    assert service.curve
    assert service.host == "127.0.0.1"
    ports = (service.telecommand_port, service.telemetry_port, service.downlink_port)
    assert ports == (TELECOMMAND_PORT, TELEMETRY_PORT, DOWNLINK_PORT)


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("scale = 0.0001", "scale needs an offset"),
        ("scale = 0.0001\noffset = -1000", "scale needs an offset"),
        ("scale = 0\noffset = 0", "scale"),
        ("scale = nan\noffset = 0", "scale"),
        ("offset = -0.2", "offset must be a whole number"),
    ],
)
def test_a_scale_and_offset_of_the_settings_that_cannot_be_are_refused(
    tmp_path: Path, lines: str, cause: str
) -> None:
    path = tmp_path / "flight.toml"
    path.write_text(f"[scene]\n{lines}\n")
    with pytest.raises(UsageError, match=cause):
        read_settings(path)
