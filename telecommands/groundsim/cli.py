"""``groundsim``: simulate a scene, score a mask.  Parsing and exit status only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from telecommands.errors import GroundError, Interrupted
from telecommands.groundsim.scene import Progress, SceneRequest, simulate_scene
from telecommands.groundsim.score import score_files

_SCENE_EPILOG = (
    "The truth is a uint8 .npy beside the product: 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud "
    "shadow, 255 no data; contaminated means 1 to 3."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 on failure, 2 on wrong usage, 130 when interrupted."""
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stopped:  # argparse has said why
        return int(stopped.code or 0)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except KeyboardInterrupt:
        return _fail(Interrupted(arguments.name, "interrupted", "Nothing was left behind"))
    except GroundError as error:
        return _fail(error)
    return 0


def _scene(arguments: argparse.Namespace) -> None:
    request = SceneRequest(
        out=arguments.out,
        size=arguments.size,
        seed=arguments.seed,
        tile_id=arguments.tile_id,
        level=arguments.level,
        baseline=arguments.baseline,
        cloud_cover=arguments.cloud_cover,
        no_data=arguments.no_data,
        bits=arguments.bits,
        workers=arguments.workers,
        force=arguments.force,
    )
    with _progress_bar() as progress:
        scene = simulate_scene(request, progress)
    if arguments.json:
        print(json.dumps(asdict(scene), default=str))
        return
    print(f"scene  {scene.scene}")
    print(f"truth  {scene.truth}")
    print(
        f"cloud {scene.cloud_fraction:.1%}, shadow {scene.shadow_fraction:.1%}, "
        f"no data {scene.no_data_fraction:.1%}, {scene.bits_per_pixel:.2f} bits a pixel"
    )


def _score(arguments: argparse.Namespace) -> None:
    record = score_files(arguments.mask, arguments.truth).as_record()
    if arguments.json:
        print(json.dumps(record))
        return
    for name, value in record.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        print(f"{name:20} {'undefined' if shown is None else shown}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="groundsim", description="The ground side, simulated.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    scene = commands.add_parser(
        "scene",
        help="simulate a Sentinel-2 product and its true mask",
        description="Simulate a Sentinel-2 SAFE product under OUT, with its true mask beside it.",
        epilog=_SCENE_EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    scene.set_defaults(command=_scene)
    scene.add_argument("out", type=Path, metavar="OUT", help="folder to write into")
    scene.add_argument("--size", type=int, default=10_980, help="pixels of 10 m a side")
    scene.add_argument("--seed", type=int, default=0, help="what tells one scene from another")
    scene.add_argument("--tile-id", default="T32TQM", help="tile that the scene claims to be")
    scene.add_argument("--level", choices=("L2A", "L1C"), default="L2A", help="processing level")
    scene.add_argument(
        "--cloud-cover", type=float, default=0.35, help="share under cloud, shadows not counted"
    )
    scene.add_argument(
        "--no-data",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="leave the corner beyond the swath's edge without data",
    )
    scene.add_argument("--bits", type=float, default=7.0, help="bits a pixel, mean of the bands")
    scene.add_argument("--workers", type=int, default=2, help="threads")
    scene.add_argument(
        "--baseline", default="05.10", help="processing baseline; offset of -1000 from 04.00"
    )
    scene.add_argument("--force", action="store_true", help="replace a product of the same name")
    scene.add_argument("--json", action="store_true", help="print one JSON object")

    score = commands.add_parser(
        "score",
        help="compare a mask with the truth",
        description="Compare a mask (.npy, uint8: 0 clear, 1 contaminated, 255 no data) with a "
        "scene's truth over the pixels valid in both.",
        epilog="Any of the truth's classes 1 to 3 counts as contaminated.  A mask of half or a "
        "quarter of the truth's size is compared with every second or fourth pixel.",
    )
    score.set_defaults(command=_score)
    score.add_argument("mask", type=Path, metavar="MASK", help="processed mask")
    score.add_argument("truth", type=Path, metavar="TRUTH", help="truth of the simulated scene")
    score.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    with tqdm(unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _fail(error: GroundError) -> int:
    print(f"groundsim: {error}", file=sys.stderr)
    return error.exit_status
