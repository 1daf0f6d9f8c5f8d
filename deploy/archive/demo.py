"""``python -m deploy.archive.demo``: a small archive reprocessed, and a serial run beside it."""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pystac

from telecommands.groundsim.scenes.scene import SceneRequest, simulate_scene

_ROOT: Final = Path(__file__).resolve().parents[2]
_FOLDER: Final = _ROOT / "archive"
_SCENES: Final = 24
_CORRUPT: Final = (5, 17)
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def main() -> int:
    """Simulate, process one after the other, reprocess, compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=448, help="side length of a scene in pixels")
    side = parser.parse_args().size
    shutil.rmtree(_FOLDER, ignore_errors=True)
    scenes = make_archive(_FOLDER / "scenes", _SCENES, side, _CORRUPT)
    print(f"1. {len(scenes)} scenes of {side} x {side} pixels, two of them damaged.")
    serial, serial_seconds = _run(
        "process", *map(str, scenes), "-o", str(_FOLDER / "serial"), "--products", "cog,stac,report"
    )
    print(f"2. flightsw process: status {serial.returncode}, {serial_seconds:.1f} s of CPU.")
    found, seconds = _run(
        "reprocess", str(_FOLDER / "scenes"), str(_FOLDER / "out"), "--workers", "2", "--json"
    )
    if found.returncode != 10 + len(_CORRUPT):
        print(found.stdout, found.stderr, file=sys.stderr)
        return 1
    totals = json.loads(found.stdout)
    print(f"3. flightsw reprocess: status {found.returncode}, {seconds:.1f} s of CPU.")
    for failure in totals["failures"]:
        print(f"   {failure['code']}: {failure['cause']}")
    equal = equal_masks(_FOLDER / "serial", Path(totals["table"]).parent)
    print(f"4. {len(equal)} masks are byte-identical to those of flightsw process.")
    items, errors = check_catalogue(Path(totals["catalogue"]))
    print(f"5. The STAC catalogue has {items} items and {len(errors)} errors.")
    print(f"The table is {totals['table']}.")
    good = _SCENES - len(_CORRUPT)
    codes = [failure["code"] for failure in totals["failures"]]
    right = codes == ["CORRUPT_IMAGE"] * len(_CORRUPT)
    return not (len(equal) == items == good and not errors and right)


def make_archive(folder: Path, count: int, side: int, corrupt: Sequence[int] = ()) -> list[Path]:
    """Simulated products, each of its own tile; of those in ``corrupt`` one band is damaged."""
    folder.mkdir(parents=True)
    scenes = []
    for number in range(count):
        tile = f"T32T{_LETTERS[number // 20]}{_LETTERS[number % 20]}"
        request = SceneRequest(folder, size=side, seed=number, tile_id=tile)
        scenes.append(Path(simulate_scene(request, lambda _done, _total: None).scene))
    for number in corrupt:
        (band,) = scenes[number].glob("GRANULE/*/IMG_DATA/R10m/*_B04_10m.jp2")
        content = bytearray(band.read_bytes())
        content[len(content) // 2] ^= 0x55
        band.write_bytes(content)
    return scenes


def equal_masks(serial: Path, run: Path) -> list[str]:
    """Names of the masks that both folders hold with the same bytes; raises if names differ."""
    ours, theirs = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
        for found in (run.rglob("*_cloud_mask_cog.tif"), serial.rglob("*_cloud_mask_cog.tif"))
    )
    if ours.keys() != theirs.keys():
        raise ValueError(f"only one run has {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    return [name for name, digest in ours.items() if theirs[name] == digest]


def check_catalogue(path: Path) -> tuple[int, list[str]]:
    """The number of items of a static catalogue, and what is wrong in it; needs no network."""
    from pystac.validation.local_validator import LocalValidator  # noqa: PLC0415 - warns

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the only validator without a network
        validator = LocalValidator()
    catalogue = pystac.Catalog.from_file(str(path))
    errors: list[str] = []
    items = 0
    for place, _, of_place in catalogue.walk():
        document = json.loads(Path(place.self_href).read_text())
        checking: Any = validator.catalog_validator(document["stac_version"])
        errors += [
            f"{place.self_href}: {error.message}" for error in checking.iter_errors(document)
        ]
        for item in of_place:
            items += 1
            document = json.loads(Path(item.self_href).read_text())
            checking = validator.item_validator(document["stac_version"])
            errors += [f"{item.id}: {error.message}" for error in checking.iter_errors(document)]
            missing = [
                asset.href
                for asset in item.assets.values()
                if not (Path(item.self_href).parent / asset.href).is_file()
            ]
            errors += [f"{item.id}: {href} does not exist" for href in missing]
    return items, errors


def _run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A command of flightsw, and the CPU seconds of it and of the processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "flightsw", *arguments],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
