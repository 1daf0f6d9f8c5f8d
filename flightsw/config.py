"""The settings tree: typed, ranged, read from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from flightsw.errors import UsageError
from telecommands.dictionary import EngineName


class TwinSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timing of the reference card, reproduced by the simulator.

    ``latency_ms`` is the mean a tile, ``sigma_ms`` its spread; transfers, powers and
    temperatures are those of the reference benchmark.  Without ``compute`` the
    host CPU is left alone, as beside a real card: the answer is then a mere
    brightness threshold, good for timing and for nothing else.
    """

    latency_ms: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.94
    sigma_ms: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.21
    seed: int = 0
    compute: bool = True


class DimcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which card, and how its four cores share the work.

    ``spatial``: one tile over four cores.  ``batch``: four tiles over four cores.
    ``instances``: the model four times, on a core and with a thread each.  ``dma_buffers``
    ``auto`` takes them where the runtime offers them.  ``thread_priority`` is the real-time
    priority of the thread that drives the card, 0 for none; where the machine does not allow it
    it is an ordinary one, as those of the ``instances`` are: they have tiles ahead.
    ``threads`` is for the simulator's INT8 arithmetic.
    """

    card: Literal["auto", "card", "simulator"] = "auto"
    arrangement: Literal["spatial", "batch", "instances"] = "spatial"
    double_buffer: bool = True
    dma_buffers: Literal["auto", "off"] = "auto"
    thread_priority: Annotated[int, msgspec.Meta(ge=0, le=50)] = 10
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    twin: TwinSettings | None = None


class TorchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engines ``torch-cpu`` (FP32, one tile at a time) and ``torch-cuda``.

    ``threads`` is for the CPU; ``batch`` and ``precision`` are for CUDA.  ``torchscript`` is a file
    of published weights instead of the package's network, with its bands in their order; such a
    file is code, so give only one that you trust.  ``tile_size`` 2048 with ``overlap`` 128 is the
    reference benchmark's baseline; without it, tiles and stride are the package's.
    """

    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    batch: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    precision: Literal["fp16", "fp32"] = "fp16"
    torchscript: Path | None = None
    torchscript_bands: tuple[str, ...] = ("B08", "B04", "B03", "B02")
    tile_size: Annotated[int, msgspec.Meta(ge=32, le=8192, multiple_of=32)] | None = None
    overlap: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 14


class TensorRtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine ``tensorrt``: FP16, built on the target and kept in ``cache``.

    Without ``cache``: ``flightsw/engines`` below ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """

    batch: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    cache: Path | None = None
    workspace_mb: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 1024


class PipelineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a scene streams.

    ``queue_depth`` counts batches between producer and consumer.  When nothing has moved for
    ``stall_seconds``, the scene fails rather than hang.  A golden tile goes through the engine
    every ``golden_every`` tiles, 0 for never.  ``device`` quantises, ``decoder`` decodes JPEG 2000.
    """

    fusion: Literal["or", "blend"] = "or"
    queue_depth: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    decode_workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    decoder: Literal["auto", "cpu", "gpu"] = "auto"
    golden_every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 500
    stall_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0


Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The daemon: where its state, scenes and keys lie, and where it listens.

    ``keys`` and ``model_inbox`` lie below ``state_dir`` unless given.  Port 0 takes a free port,
    which the service tells in ``state_dir/endpoints.json``.  Without ``curve`` everybody who
    reaches the ports can listen, and whoever has a telecommand key can command.
    """

    state_dir: Path = Path("/var/lib/flightsw")
    scene_root: Path = Path("/var/lib/flightsw/scenes")
    model_inbox: Path | None = None
    keys: Path | None = None
    host: str = "127.0.0.1"
    telecommand_port: Port = 5701
    telemetry_port: Port = 5702
    downlink_port: Port = 5703
    curve: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def keys_folder(self) -> Path:
        """Folder of the service's own CURVE pair and of the authorised keys."""
        return self.keys or self.state_dir / "keys"

    @property
    def inbox(self) -> Path:
        """Folder that STAGE_MODEL reads packages from."""
        return self.model_inbox or self.state_dir / "model_inbox"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole settings file.

    ``engines`` is the chain: the first that opens serves, the next one follows where it fails.
    """

    model: Path | None = None
    engines: Annotated[tuple[EngineName, ...], msgspec.Meta(min_length=1)] = (
        "dimc",
        "tensorrt",
        "torch-cuda",
        "torch-cpu",
    )
    dimc: DimcSettings = DimcSettings()
    torch: TorchSettings = TorchSettings()
    tensorrt: TensorRtSettings = TensorRtSettings()
    pipeline: PipelineSettings = PipelineSettings()
    service: ServiceSettings = ServiceSettings()


def read_settings(path: Path) -> Settings:
    """Read a TOML file; raise :class:`UsageError` that names the key and what was expected."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings, dec_hook=_as_path)
    except OSError as error:
        raise UsageError(
            path, f"cannot be read ({error.strerror})", "Give a readable file"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(path, str(error), "Correct the file, or leave it out") from error


def _as_path(kind: type, value: object) -> Path:
    """What TOML has no type for; msgspec asks for nothing else."""
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"Expected a path as text, got {value!r}")
    return Path(value)
