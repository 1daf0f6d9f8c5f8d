"""The settings tree: typed, ranged, read from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from flightsw.config.invalid import explain
from flightsw.errors import UsageError
from telecommands.dictionary import (
    LARGEST_BUFFER_M,
    Decode,
    EngineName,
    Integrity,
    UnitName,
)
from telecommands.failure import UNDECODABLE


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


Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults of the card that are injected on purpose, for laboratories (``--laboratory``).

    Each kind of fault has a probability for each frame, those of ``setup_`` for each opening of the
    card or its simulator.  Each fault is a line of the log.  docs/fmea.md says what the service
    does about each kind.

    - ``seed``: seed of the draws, any integer.  They continue when the card is opened again.
    - ``first``: frames, and openings, before the first fault.
    - ``most``: faults after which there are no more.
    - ``connection_error`` to ``unknown_error``: the frame raises the vendor's exception of this
      name.
    - ``hang``: the frame takes ``hang_seconds``.
    - ``spike``: the answer comes ``spike_ms`` late.
    - ``inverted``, ``zero``, ``noise``, ``stale``: the answer has all bits inverted, is zero, is
      random, or is the answer before.
    - ``lost_device``: the frame raises ConnectionError, and so does everything after it.
    - ``over_temperature``: the sensor shows ``celsius`` for ``hot_seconds``, and otherwise
      the temperature of ``dimc.twin``, which must be set.
    - ``setup_in_use``: connecting raises DeviceInUse, as if another process held the card.
    - ``setup_mismatch``: loading the model raises IncompatibleDevice, as if firmware and model were
      of different versions.
    - ``setup_slow``: loading the model takes ``setup_seconds`` longer.
    """

    seed: int = 0
    first: Annotated[int, msgspec.Meta(ge=0)] = 0
    most: Annotated[int, msgspec.Meta(ge=0)] | None = None
    connection_error: Rate = 0.0
    device_in_use: Rate = 0.0
    incompatible_device: Rate = 0.0
    internal_error: Rate = 0.0
    invalid_argument: Rate = 0.0
    invalid_configuration: Rate = 0.0
    not_implemented: Rate = 0.0
    pending: Rate = 0.0
    unknown_error: Rate = 0.0
    hang: Rate = 0.0
    hang_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 600.0
    spike: Rate = 0.0
    spike_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 100.0
    inverted: Rate = 0.0
    zero: Rate = 0.0
    noise: Rate = 0.0
    stale: Rate = 0.0
    lost_device: Rate = 0.0
    over_temperature: Rate = 0.0
    celsius: Annotated[float, msgspec.Meta(ge=0, le=200)] = 105.0
    hot_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0
    setup_in_use: Rate = 0.0
    setup_mismatch: Rate = 0.0
    setup_slow: Rate = 0.0
    setup_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0


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
    - ``temperature_log``: command that prints the log of a real card, with its temperatures
      (``core_temps=[…]``); empty if they are not to be measured.
    """

    card: Literal["auto", "card", "simulator"] = "auto"
    arrangement: Literal["spatial", "batch", "instances"] = "spatial"
    double_buffer: bool = True
    dma_buffers: Literal["auto", "off"] = "auto"
    thread_priority: Annotated[int, msgspec.Meta(ge=0, le=50)] = 10
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    temperature_log: tuple[str, ...] = ("axlogdevice", "--slog-level", "inf:collector", "--slog")
    twin: TwinSettings | None = None
    faults: FaultSettings | None = None


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
      CPU and that have checksums.  Confined decoders (``service.confined_decoders``) use the CPU.
    - ``decode``: ``fast`` leaves out the bit-planes of JPEG 2000 files that the network does not
      see.  Digital numbers then differ by at most an error that the report states; DN 0 and DN
      65,535 do not differ.  Files without checksums, unusual files, and bands that are products
      themselves are decoded exactly, and a remark says so.
    - ``least_integrity``: lowest integrity of a scene's files at which the scene is processed.
      ``verified``: every file has its checksum; ``unknown``: there are no checksums; ``doubtful``:
      the list of checksums is damaged or incomplete.
    - ``golden_every``: number of tiles between two golden tiles (known input, known output); 0
      sends none.
    - ``check_answers``: which tiles are computed twice, to find wrong answers: ``doubtful`` those
      whose answer does not fit its neighbours or itself; ``all``; or none (``off``).
    - ``stall_seconds``: seconds without progress after which the scene fails.
    - ``power_budget_w``: mean power over any ten seconds, W: the card's, or that of the board if
      the card has no meter of its own.  Batches wait so that it is met; if waiting does not help,
      the engine works a tenth of the time.  Without a budget, none wait for it.
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
    power_budget_w: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None


class SceneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is assumed of a scene if neither its files nor the request say.

    - ``offset``: DN offset; for example -1000 if GeoTIFFs without tags come from baseline 04.00 on.
      With ``scale`` it is one of reflectance.
    - ``scale``: of GeoTIFFs of integers without tags: reflectance = value x scale + offset.
    - ``nodata``: value of GeoTIFFs of integers that has no data, if the file does not mark it.
    - ``bands``: names of the bands of a GeoTIFF without descriptions, in the file's order; a name
      that is not a band, such as ``-``, skips one.
    - ``ground_sample_distance``: metres per pixel of the mask.
    """

    offset: Annotated[float, msgspec.Meta(ge=-10_000, le=0)] | None = None
    scale: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    nodata: float | None = None
    bands: tuple[str, ...] = ()
    ground_sample_distance: Literal[10, 20, 40] = 10

    def __post_init__(self) -> None:
        if self.scale is not None and (self.offset is None or self.offset < -1):
            raise ValueError("scale needs an offset of reflectance from -1 to 0 beside it")
        if self.scale is None and not float(self.offset or 0).is_integer():
            raise ValueError("offset must be a whole number unless scale is given")

    @property
    def dn_offset(self) -> int | None:
        """The offset of a product whose scale is known."""
        return None if self.offset is None or self.scale is not None else int(self.offset)


NOTHING_ASSUMED: Final = SceneSettings()

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]

NameStyle: TypeAlias = Literal["scene", "reference"]


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service's folders and endpoints.

    - ``unit``: name of this unit, in each telecommand, packet and product: 1 to 20 of A-Z a-z 0-9 _
      -.  Without it, the one that ``flightsw keys generate --unit`` gave; the service needs one.
    - ``state_dir``: folder of the service's state.
    - ``scene_root``: folder of the scenes that telecommands name.
    - ``model_inbox``: folder that STAGE_MODEL reads packages from; without it, ``model_inbox``
      below ``state_dir``.
    - ``keys``: folder of the keys; without it, ``keys`` below ``state_dir``.
    - ``release_keys``: folder of the public keys (``NAME.release_key``, PEM) whose signature a
      model package needs; without it, ``release`` in the folder of the keys.
    - ``unsigned_models``: in a laboratory, take model packages that nobody signed.
    - ``host``: address to listen on.
    - ``telecommand_port``, ``telemetry_port``, ``downlink_port``: TCP ports.  Port 0 takes any free
      port, which ``endpoints.json`` below ``state_dir`` names.
    - ``curve``: encrypt and authenticate the links.  Without it, anyone who reaches the ports can
      listen, and anyone who has a telecommand key can command.
    - ``unprotected_network``: allow ``curve`` false beyond the loopback interface.
    - ``clock_file``: a file that exists while the computer's clock can be trusted; the default is
      that of systemd-timesyncd.  ``sent_at`` of telecommands is checked only then.
    - ``confined_decoders``: read each scene in a process of its own, which has no keys, sockets or
      state and writes nothing.  JPEG 2000 is then decoded on the CPU.
    - ``log_level``: lowest severity that is logged.
    """

    unit: UnitName | None = None
    state_dir: Path = Path("/var/lib/flightsw")
    scene_root: Path = Path("/var/lib/flightsw/scenes")
    model_inbox: Path | None = None
    keys: Path | None = None
    release_keys: Path | None = None
    unsigned_models: bool = False
    host: str = "127.0.0.1"
    telecommand_port: Port = 5701
    telemetry_port: Port = 5702
    downlink_port: Port = 5703
    curve: bool = True
    unprotected_network: bool = False
    clock_file: Path = Path("/run/systemd/timesync/synchronized")
    confined_decoders: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def keys_folder(self) -> Path:
        """Folder of the service's CURVE key pair and of the authorised keys."""
        return self.keys or self.state_dir / "keys"

    @property
    def trusted_releases(self) -> Path | None:
        """Folder of the keys whose signature a model package needs; None: it needs none."""
        return None if self.unsigned_models else self.release_keys or self.keys_folder / "release"

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
      of one tile share.  Another network than DTACSNet gives its own name in both.
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
    """Read a TOML file; :class:`UsageError` names the wrong key and what is valid."""
    try:
        document = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise UsageError(
            path, f"cannot be read ({error.strerror})", "Give a readable file"
        ) from error
    except UNDECODABLE as error:
        raise UsageError(
            path, f"is not a valid settings file ({error})", "Correct the file, or omit it"
        ) from error
    try:
        return msgspec.convert(document, Settings, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        raise UsageError(path, *explain(error, document, Settings)) from error


def refuse_faults(settings: Settings) -> None:
    """Raise :class:`UsageError` if faults are to be injected: never in flight."""
    if settings.dimc.faults is not None:
        cause = "injects faults on purpose, which a flight unit must not do"
        raise UsageError("dimc.faults", cause, "Remove the table, or give --laboratory")


def _as_path(kind: type, value: object) -> Path:
    """Paths, the only values for which TOML has no type."""
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"Expected a path as text, got {value!r}")
    return Path(value)
