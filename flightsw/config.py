"""The settings tree: typed, ranged, read from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from flightsw.errors import UsageError
from telecommands.dictionary import LARGEST_BUFFER_M, Decode, EngineName, Integrity


class TwinSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulator's timing of the reference card.

    Transfers, power and temperatures are those of the reference benchmark.

    - ``latency_ms``: mean latency of a tile, milliseconds.
    - ``sigma_ms``: standard deviation of the latency, milliseconds.
    - ``seed``: seed of the random latencies, any integer.
    - ``compute``: whether the simulator computes the model.  Without it the host CPU stays idle,
      as beside a real card, and masks come from a brightness threshold: for timing only.
    """

    latency_ms: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.94
    sigma_ms: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.21
    seed: int = 0
    compute: bool = True


class DimcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The D-IMC card, and how its four cores share the work.

    - ``card``: ``card`` forbids the simulator, ``simulator`` forbids the card; ``auto`` uses the
      card, or the simulator if there is no card.
    - ``arrangement``: ``spatial`` computes one tile on four cores; ``batch`` computes four tiles on
      four cores; ``instances`` runs the model four times, each on one core with one thread.
    - ``double_buffer``: transfer a tile while another one is computed.
    - ``dma_buffers``: ``auto`` uses DMA buffers if the runtime offers them.
    - ``thread_priority``: real-time priority of the thread that drives the card; 0 is none.  The
      thread stays an ordinary one if the machine does not permit it.  Those of ``instances``
      always are: they have tiles queued.
    - ``threads``: threads of the simulator's INT8 arithmetic.
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

    - ``threads``: CPU threads of ``torch-cpu``.
    - ``batch``: tiles in one call of ``torch-cuda``.
    - ``precision``: arithmetic of ``torch-cuda``.
    - ``torchscript``: a TorchScript file of published weights that replaces the package's network.
      Such a file is code, so give only one that you trust.
    - ``torchscript_bands``: that file's bands, in its order.
    - ``tile_size``: side of a tile, pixels, a multiple of 32; without it, tiles and stride are the
      package's.  2048 with ``overlap`` 128 is the reference benchmark's baseline.
    - ``overlap``: overlap of neighbouring tiles, pixels, less than ``tile_size``.  Only used with
      ``tile_size``.
    """

    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    batch: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    precision: Literal["fp16", "fp32"] = "fp16"
    torchscript: Path | None = None
    torchscript_bands: tuple[str, ...] = ("B08", "B04", "B03", "B02")
    tile_size: Annotated[int, msgspec.Meta(ge=32, le=8192, multiple_of=32)] | None = None
    overlap: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 14


class TensorRtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine ``tensorrt``: FP16, built on the target.

    - ``batch``: tiles in one call.
    - ``cache``: folder of the built engines; without it, ``flightsw/engines`` below
      ``$XDG_CACHE_HOME`` or ``~/.cache``.
    - ``workspace_mb``: most device memory for the build, MiB.
    """

    batch: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    cache: Path | None = None
    workspace_mb: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 1024


class PipelineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a scene passes through the pipeline.

    - ``fusion``: how overlapping tiles are combined.  ``or``: a pixel is contaminated if it is in
      any tile; ``blend``: if the mean probability of its tiles is above 0.5.
    - ``threshold_percent``: a pixel is contaminated if its cloud probability, in whole per cent, is
      this or more.  Without it, the class with the larger logit decides.
    - ``buffer_m``: clear pixels within this distance of a contaminated one become contaminated,
      metres; 0 is none.
    - ``queue_depth``: batches between producer and consumer.
    - ``decode_workers``: threads that decode the scene.
    - ``device``: what quantises tiles; ``auto`` uses CUDA if a device answers.
    - ``decoder``: what decodes JPEG 2000; ``auto`` uses the GPU for files that it decodes like the
      CPU and that have checksums.
    - ``decode``: ``fast`` leaves out the bit-planes of JPEG 2000 files that the network does not
      see.  Digital numbers then differ by at most an error that the report states; DN 0 and DN
      65,535 do not differ.  Files without checksums, unusual files, and bands that are products
      themselves are decoded exactly, and a remark says so.
    - ``least_integrity``: scenes whose files are known less well to be intact are not processed.
      ``verified``: every file has its checksum; ``unknown``: there are no checksums; ``doubtful``:
      the list of checksums is damaged or incomplete.
    - ``golden_every``: number of tiles between two golden tiles (known input, known output); 0
      sends none.
    - ``check_answers``: which tiles are computed twice, to find wrong answers: ``doubtful`` those
      whose answer does not fit its neighbours or itself; ``all``; or none (``off``).
    - ``stall_seconds``: seconds without progress after which the scene fails.
    """

    fusion: Literal["or", "blend"] = "or"
    threshold_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    buffer_m: Annotated[float, msgspec.Meta(ge=0, le=LARGEST_BUFFER_M)] = 0.0
    queue_depth: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    decode_workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    decoder: Literal["auto", "cpu", "gpu"] = "auto"
    decode: Decode = "exact"
    least_integrity: Integrity = "unknown"
    golden_every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 500
    check_answers: Literal["off", "doubtful", "all"] = "doubtful"
    stall_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0


class SceneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is assumed of a scene if neither its files nor the request say.

    - ``offset``: DN offset; for example -1000 if GeoTIFFs without tags come from baseline 04.00 on.
    - ``bands``: names of the bands of a GeoTIFF without descriptions, in the file's order; a name
      that is not a band, such as ``-``, skips one.
    - ``ground_sample_distance``: metres a pixel of the mask.
    """

    offset: Annotated[int, msgspec.Meta(ge=-10_000, le=0)] | None = None
    bands: tuple[str, ...] = ()
    ground_sample_distance: Literal[10, 20, 40] = 10


NOTHING_ASSUMED: Final = SceneSettings()

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]

NameStyle: TypeAlias = Literal["scene", "reference"]


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service's folders and endpoints.

    - ``state_dir``: folder of the service's state.
    - ``scene_root``: folder of the scenes that telecommands name.
    - ``model_inbox``: folder that STAGE_MODEL reads packages from; without it, ``model_inbox``
      below ``state_dir``.
    - ``keys``: folder of the keys; without it, ``keys`` below ``state_dir``.
    - ``host``: address to listen on.
    - ``telecommand_port``, ``telemetry_port``, ``downlink_port``: TCP ports.  Port 0 takes any free
      port, which ``endpoints.json`` below ``state_dir`` names.
    - ``curve``: encrypt and authenticate the links.  Without it, anyone who reaches the ports can
      listen, and anyone who has a telecommand key can command.
    - ``log_level``: lowest severity that is logged.
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
        """Folder of the service's CURVE key pair and of the authorised keys."""
        return self.keys or self.state_dir / "keys"

    @property
    def inbox(self) -> Path:
        """Folder that STAGE_MODEL reads packages from."""
        return self.model_inbox or self.state_dir / "model_inbox"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole settings file.

    - ``model``: folder of the model package; without it, the shipped package.
    - ``engines``: the engines in order of preference.  The first one that opens is used; if it
      fails, the next one takes over.
    - ``product_names``: file names of products.  ``scene``: they hold tile, scene and time.
      ``reference``: those of the reference processor, ``dtacsnet_TILE_PCTpct_TAG_…``, which dates
      of one tile share.
    """

    model: Path | None = None
    engines: Annotated[tuple[EngineName, ...], msgspec.Meta(min_length=1)] = (
        "dimc",
        "tensorrt",
        "torch-cuda",
        "torch-cpu",
    )
    product_names: NameStyle = "scene"
    dimc: DimcSettings = DimcSettings()
    torch: TorchSettings = TorchSettings()
    tensorrt: TensorRtSettings = TensorRtSettings()
    pipeline: PipelineSettings = PipelineSettings()
    scene: SceneSettings = SceneSettings()
    service: ServiceSettings = ServiceSettings()


def read_settings(path: Path) -> Settings:
    """Read a TOML file; :class:`UsageError` names the wrong key and what was expected."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings, dec_hook=_as_path)
    except OSError as error:
        raise UsageError(
            path, f"cannot be read ({error.strerror})", "Give a readable file"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            path, f"is not a valid settings file ({error})", "Correct the file, or omit it"
        ) from error


def _as_path(kind: type, value: object) -> Path:
    """Paths, the only values for which TOML has no type."""
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"Expected a path as text, got {value!r}")
    return Path(value)
