"""``groundsim scene``: simulate a Sentinel-2 product and its true mask."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telecommands.groundsim.scenes.scene import ProgressCallback

_EPILOG = (
    "The truth is a uint8 .npy file beside the product: 0 clear, 1 thick cloud, 2 thin cloud, "
    "3 cloud shadow, 255 no data; contaminated means 1 to 3."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "scene",
        help="simulate a Sentinel-2 product and its true mask",
        description="Simulate a Sentinel-2 SAFE product under OUT, with its true mask beside it.",
        epilog=_EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_run, after_interrupt="No files were left")
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder")
    parser.add_argument("--size", type=int, default=10_980, help="side length in pixels of 10 m")
    parser.add_argument("--seed", type=int, default=0, help="random seed: same seed, same scene")
    parser.add_argument("--tile-id", default="T32TQM", help="Sentinel-2 tile in the metadata")
    parser.add_argument("--level", choices=("L2A", "L1C"), default="L2A", help="processing level")
    parser.add_argument(
        "--bands",
        choices=("10m", "all"),
        default="10m",
        help="the four bands at 10 m, or all: 13 in L1C, 12 in L2A, each at its own distance",
    )
    parser.add_argument(
        "--cloud-cover", type=float, default=0.35, help="fraction under cloud, without shadows"
    )
    parser.add_argument(
        "--no-data",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="simulate the corner without data beyond the swath edge",
    )
    parser.add_argument(
        "--bits",
        type=float,
        default=7.0,
        help="JPEG 2000 bits per pixel, mean of the bands at 10 m",
    )
    parser.add_argument("--workers", type=int, default=2, help="number of threads")
    parser.add_argument(
        "--baseline", default="05.10", help="processing baseline; offset of -1000 from 04.00 on"
    )
    parser.add_argument("--force", action="store_true", help="replace a product of the same name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    # Image libraries load slowly: a telecommand must not wait for them.
    from telecommands.groundsim.scenes.scene import SceneRequest, simulate_scene  # noqa: PLC0415

    # The options are named as the request's fields.
    given = {field.name: getattr(arguments, field.name) for field in fields(SceneRequest)}
    with _progress_bar() as progress:
        scene = simulate_scene(SceneRequest(**given), progress)
    if arguments.json:
        print(json.dumps(asdict(scene), default=str))
        return 0
    print(f"scene  {scene.scene}")
    print(f"truth  {scene.truth}")
    print(
        f"cloud {scene.cloud_fraction:.1%}, shadow {scene.shadow_fraction:.1%}, "
        f"no data {scene.no_data_fraction:.1%}, {scene.bits_per_pixel:.2f} bits per pixel"
    )
    return 0


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    from tqdm import tqdm  # noqa: PLC0415 - as the image libraries

    with (
        tqdm(unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar,
        _lasting_interrupts() as check,
    ):

        def show(done: int, total: int) -> None:
            check()
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextmanager
def _lasting_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a check that raises again after Ctrl-C: libraries may swallow the first one."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        del number, frame
        interrupted = True
        raise KeyboardInterrupt

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
