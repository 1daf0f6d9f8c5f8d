"""A model package: everything that one network needs, verified before it is used."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.compiled_model import CompiledModel, read_compiled_model
from flightsw.errors import PackageInvalid, PackageTampered
from flightsw.host.disk import read_plain, sha256
from flightsw.model.description import PackageDescription, read_description
from flightsw.model.sound_scenes import SoundScenes, read_sound_scenes
from telecommands.failure import reason_of

CHECKSUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
DESCRIPTION: Final = "package.json"
GOLDEN: Final = "golden.npz"
NETWORK: Final = "network.npz"
EXPERIENCE: Final = "experience.npz"
NOTICE: Final = "NOTICE"

Arrangement = Literal["spatial", "batch"]

COMPILED_FOLDERS: Final[dict[Arrangement, tuple[str, int]]] = {
    "spatial": ("compiled_model", 1),
    "batch": ("compiled_model_batch4", 4),
}
"""Folder and batch of each way to share the card's four cores."""

_SHIPPED: Final = Path(__file__).with_name("shipped")
_LONGEST_LIST: Final = 1 << 20  # bytes; the list that ships has about one kilobyte
_REINSTALL: Final = "Install the package again from a trusted source"


@dataclass(frozen=True)
class GoldenTiles:
    """Tiles whose answer is known, and how far an engine may deviate from it.

    ``tiles`` int8 ``(n, tile, tile, bands)``; ``logits`` int8 ``(n, tile, tile,
    classes)``, as OpenVINO computed them; ``floating_logits`` likewise, the answers of the
    floating-point network rounded to INT8 steps, None in a package without that network.

    CPUs with and without VNNI, and other accelerators, round the sums of a layer in another
    order, so equality would fail good hardware.  If the released answer has its class
    ``margin`` INT8 steps ahead of the next, ``least_agreement`` of the pixels
    must keep it; over all pixels the logits may be ``largest_mean_deviation``
    steps off.
    """

    tiles: NDArray[np.int8]
    logits: NDArray[np.int8]
    floating_logits: NDArray[np.int8] | None
    names: tuple[str, ...]
    margin: int
    least_agreement: float
    largest_mean_deviation: float


class ModelPackage(PackageDescription, frozen=True, kw_only=True):
    """A verified package, with all that it says about itself.

    ``model_id`` names its exact content: name, version, short hash.
    """

    folder: Path
    model_id: str

    @property
    def network(self) -> Path | None:
        """File of the floating-point network's weights; None if the package has none."""
        path = self.folder / NETWORK
        return path if path.is_file() else None

    def compiled_model(self, arrangement: Arrangement) -> Path:
        """Folder with ``model.json`` and ``manifest.json`` for the arrangement."""
        return self.folder / COMPILED_FOLDERS[arrangement][0]

    def read_compiled_model(self, arrangement: Arrangement) -> CompiledModel:
        """What the compiler wrote; :class:`PackageInvalid` if it contradicts the package."""
        compiled = read_compiled_model(self.compiled_model(arrangement) / "model.json")
        tile = (COMPILED_FOLDERS[arrangement][1], self.tile_size, self.tile_size)
        source, answer = compiled.input, compiled.output
        for key, expected, found in (
            ("input_shapes", (*tile, len(self.bands)), source.unpadded_shape),
            ("output_shapes", (*tile, len(self.classes)), answer.unpadded_shape),
            ("quantize_params", self.input.as_pair(), (source.scale, source.zero_point)),
            ("dequantize_params", self.output.as_pair(), (answer.scale, answer.zero_point)),
        ):
            if expected != found:
                raise PackageInvalid.wrong(
                    compiled.manifest, key, f"{expected} as in {DESCRIPTION}", found
                )
        return compiled

    def golden_tiles(self) -> GoldenTiles:
        """Read the golden tiles; :class:`PackageInvalid` if they do not fit the network."""
        path = self.folder / GOLDEN
        try:
            with np.load(path, allow_pickle=False) as arrays:
                golden = GoldenTiles(
                    tiles=arrays["tiles"],
                    logits=arrays["logits"],
                    floating_logits=arrays.get("floating_logits"),
                    names=tuple(str(name) for name in arrays["names"]),
                    margin=int(arrays["margin"]),
                    least_agreement=float(arrays["least_agreement"]),
                    largest_mean_deviation=float(arrays["largest_mean_deviation"]),
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise PackageInvalid(
                path, f"cannot be read ({reason_of(error)})", _REINSTALL
            ) from error
        pixels = (len(golden.names), self.tile_size, self.tile_size)
        for key, array, channels in (
            ("tiles", golden.tiles, len(self.bands)),
            ("logits", golden.logits, len(self.classes)),
            ("floating_logits", golden.floating_logits, len(self.classes)),
        ):
            if array is None:
                continue
            if array.shape != (*pixels, channels) or array.dtype != np.int8:
                found = f"{array.dtype} {array.shape}"
                raise PackageInvalid.wrong(path, key, f"int8 {(*pixels, channels)}", found)
        return golden

    def sound_scenes(self) -> SoundScenes | None:
        """What the model was measured on; None if the package does not say.

        Raises :class:`PackageInvalid` if the file does not fit the network.
        """
        path = self.folder / EXPERIENCE
        return read_sound_scenes(path, len(self.bands)) if path.is_file() else None


def load_package(folder: Path | None = None) -> ModelPackage:
    """Verify and describe a package; without ``folder``, the one that ships.

    Raises :class:`PackageTampered` naming a file whose content was not released,
    and :class:`PackageInvalid` if a file is absent or contradicts another
    (fields ``key``, ``expected``, ``found``).
    """
    folder = shipped_package() if folder is None else Path(folder)
    checksums = _verify_checksums(folder)
    description = read_description(folder / DESCRIPTION)
    package = ModelPackage(
        folder=folder,
        model_id=f"{description.name}-{description.version}+{checksums[:8]}",
        **msgspec.structs.asdict(description),
    )
    for arrangement in COMPILED_FOLDERS:
        package.read_compiled_model(arrangement)
    package.sound_scenes()
    return package


def shipped_package() -> Path:
    """Folder of the package that comes with the software."""
    found = sorted(_SHIPPED.glob(f"*/{CHECKSUMS}"))
    if len(found) != 1:
        raise PackageInvalid(
            _SHIPPED, f"holds {len(found)} packages instead of one", "Give the package's folder"
        )
    return found[0].parent


def _verify_checksums(folder: Path) -> str:
    """Compare every file with ``SHA256SUMS``; return the SHA-256 of that list itself."""
    released = _read_checksums(folder / CHECKSUMS)
    for name, digest in released.items():
        path = folder / name
        if not path.is_file():
            raise PackageInvalid(path, f"is listed in {CHECKSUMS}, but does not exist", _REINSTALL)
        if (found := _digest(path)) != digest:
            raise PackageTampered(
                path, "is not the file that was released", _REINSTALL, expected=digest, found=found
            )
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and name not in released and name not in (CHECKSUMS, SIGNATURE):
            raise PackageTampered(path, f"is not listed in {CHECKSUMS}", "Remove it")
    return _digest(folder / CHECKSUMS)


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        lines = read_plain(path, _LONGEST_LIST).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(path, f"cannot be read ({reason_of(error)})", _REINSTALL) from error
    released = {}
    for line in lines:
        digest, separator, name = line.partition("  ")
        parts = Path(name).parts
        if not separator or not parts or Path(name).is_absolute() or ".." in parts:
            raise PackageInvalid.wrong(
                path, "line", "a SHA-256, two spaces, and a path inside the package", line
            )
        released[name] = digest
    return released


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise PackageInvalid(path, f"cannot be read ({error.strerror})", _REINSTALL) from error
