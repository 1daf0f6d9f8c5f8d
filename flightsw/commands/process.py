"""``flightsw process``: scenes on disk to products."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from flightsw.commands.options import Check, add_engine_options, engine_notices, engine_settings
from flightsw.commands.scenes import (
    Outcome,
    ScenesProgress,
    exit_status,
    find_scenes,
    folders_of,
    progress_of,
    summary_table,
)
from flightsw.config import NameStyle, Settings
from flightsw.errors import FlightError, UsageError
from flightsw.host.location import Location, location_of, shown
from flightsw.products.kinds import DEFAULT_PRODUCTS, PRODUCT_KINDS
from telecommands.command_line import listed, real_number, set_completer, whole_number
from telecommands.dictionary import LARGEST_BUFFER_M, Decode

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene, SceneProcessor, SceneRequest
    from flightsw.scene.area import AreaOfInterest


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    kinds = "\n".join(f"  {kind.name:<12} {kind.description}" for kind in PRODUCT_KINDS)
    parser = commands.add_parser(
        "process",
        help="turn scenes on disk into cloud masks and their products",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"products:\n{kinds}",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "scenes",
        type=location_of,
        nargs="+",
        metavar="SCENE",
        help="SAFE folder or .SAFE.zip, GRANULE layout, tile as on AWS, GeoTIFF, STAC item (path or"
        " address), or a pattern",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="folder of the products; several scenes get one folder each below it",
    )
    products = parser.add_argument(
        "--products",
        default=",".join(kind.name for kind in PRODUCT_KINDS if kind.name in DEFAULT_PRODUCTS),
        help="comma-separated kinds of those below (default: %(default)s)",
    )
    set_completer(products, listed(kind.name for kind in PRODUCT_KINDS))
    parser.add_argument(
        "--ground-sample-distance",
        type=int,
        choices=(10, 20, 40),
        help="metres per pixel (default: that of the settings, 10)",
    )
    parser.add_argument(
        "--fusion", choices=("or", "blend"), help="how overlapping tiles are combined"
    )
    parser.add_argument(
        "--threshold",
        type=whole_number(1, 100, "a whole number of per cent"),
        metavar="PERCENT",
        help="cloud probability at or above which a pixel is contaminated (default: the larger"
        " logit decides)",
    )
    parser.add_argument(
        "--buffer",
        type=real_number(0, LARGEST_BUFFER_M, "a number of metres"),
        metavar="METRES",
        help="distance around contaminated pixels that is also contaminated (default: none)",
    )
    parser.add_argument(
        "--decode",
        choices=get_args(Decode),
        help="exact, or fast: without the bit-planes that the network does not see",
    )
    parser.add_argument(
        "--stop-above",
        type=real_number(0, 100, "a number of per cent"),
        metavar="PERCENT",
        help="stop after a first look, with only a quick-look, if the scene is certainly more"
        " contaminated than this",
    )
    parser.add_argument(
        "--offset",
        type=float,
        help="DN offset of all bands, overrides the metadata; in reflectance with --scale",
    )
    parser.add_argument(
        "--scale",
        type=float,
        help="scale of a GeoTIFF (reflectance = value x scale + offset), overrides its tags",
    )
    parser.add_argument(
        "--nodata",
        type=float,
        help="pixel value that marks no data in a GeoTIFF, overrides its tag",
    )
    parser.add_argument(
        "--bands",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="B02,B03,…",
        help="names of a GeoTIFF's bands in its order (- skips one), overrides its descriptions",
    )
    parser.add_argument("--tile", default="", help="tile of a product with several, such as T32TQM")
    _add_area_options(parser)
    parser.add_argument(
        "--names",
        choices=get_args(NameStyle),
        help="file names with tile, scene and time, or those of the reference processor",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace products that the folder already holds"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_engine_options(parser)


def _add_area_options(parser: argparse.ArgumentParser) -> None:
    # Otherwise argparse takes the value -9.1,53,-9,54 for an option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    areas = parser.add_mutually_exclusive_group()
    areas.add_argument(
        "--area",
        type=Path,
        metavar="FILE.geojson",
        help="only the pixels in its polygons, longitude and latitude (RFC 7946)",
    )
    areas.add_argument(
        "--bounds",
        type=_bounds,
        metavar="WEST,SOUTH,EAST,NORTH",
        help="only the rectangle of pixels around these bounds, degrees of WGS 84",
    )


def _bounds(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not WEST,SOUTH,EAST,NORTH in degrees"
        ) from error


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Process the scenes and print what was made; the status counts the scenes that failed."""
    from flightsw.chain import SceneRequest, open_chain  # noqa: PLC0415

    check()
    scenes = find_scenes(arguments.scenes)
    folders = folders_of(scenes, arguments.out)
    request = SceneRequest(
        scene=scenes[0],
        out=folders[0],
        products=frozenset(filter(None, arguments.products.split(","))),
        ground_sample_distance=arguments.ground_sample_distance,
        offset=arguments.offset,
        scale=arguments.scale,
        nodata=arguments.nodata,
        file_bands=arguments.bands,
        tile=arguments.tile,
        area=_area(arguments),
        fusion=arguments.fusion,
        threshold_percent=arguments.threshold,
        buffer_m=arguments.buffer,
        decode=arguments.decode,
        stop_above=None if arguments.stop_above is None else arguments.stop_above / 100,
        overwrite=arguments.overwrite,
    )
    requests = [
        replace(request, scene=scene, out=folder)
        for scene, folder in zip(scenes, folders, strict=True)
    ]
    with (
        progress_of(scenes, check, quiet=arguments.quiet) as progress,
        open_chain(_settings(arguments), engine_notices()) as chain,
    ):
        if len(requests) == 1:
            progress.open_scene(0)
            processed = chain.process(request, progress.advance, begun=progress.begun)
            progress.show(_shown(Outcome(scenes[0], processed), json_only=arguments.json))
            return 0
        outcomes = []
        for outcome in _each(chain, scenes, requests, progress):
            outcomes.append(outcome)
            if arguments.json or not outcome.failed:
                progress.show(_shown(outcome, json_only=arguments.json))
    if not arguments.json:
        print(summary_table(outcomes))
    return exit_status(outcomes)


def _area(arguments: argparse.Namespace) -> AreaOfInterest | None:
    from flightsw.scene.area import area_within, read_area  # noqa: PLC0415

    if arguments.bounds:
        return area_within(arguments.bounds)
    return read_area(arguments.area) if arguments.area else None


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = engine_settings(arguments)
    if arguments.names:
        settings = msgspec.structs.replace(settings, product_names=arguments.names)
    return settings


def _each(
    chain: SceneProcessor,
    scenes: Sequence[Location],
    requests: Sequence[SceneRequest],
    progress: ScenesProgress,
) -> Iterator[Outcome]:
    """Process one scene after the other; the next one is begun while one is computed."""
    for number, (scene, request) in enumerate(zip(scenes, requests, strict=True)):
        progress.open_scene(number)
        following = next(iter(requests[number + 1 :]), None)
        yield _outcome(chain, scene, request, following, progress)


def _outcome(
    chain: SceneProcessor,
    scene: Location,
    request: SceneRequest,
    following: SceneRequest | None,
    progress: ScenesProgress,
) -> Outcome:
    try:
        processed = chain.process(
            request, progress.advance, begun=progress.begun, upcoming=lambda: following
        )
    except UsageError:
        raise  # of the command, so of every scene
    except FlightError as error:
        progress.warn(f"flightsw: {error}")
        return Outcome(scene, error)
    return Outcome(scene, processed)


def _shown(outcome: Outcome, *, json_only: bool) -> str:
    result = outcome.result
    if isinstance(result, FlightError):
        return json.dumps({"scene": shown(outcome.path), "error": result.as_record()})
    return json.dumps(_as_json(result)) if json_only else _as_text(result)


def _as_json(processed: ProcessedScene) -> dict[str, Any]:
    return {
        "scene": processed.scene.name,
        "ground_sample_distance": processed.scene.ground_sample_distance,
        "integrity": processed.scene.integrity,
        "decode": processed.scene.decode,
        "largest_error": processed.scene.largest_error,
        "stopped_at": processed.stopped_at and asdict(processed.stopped_at),
        "remarks": _remarks(processed),
        "contaminated_share": processed.summary.contaminated_share,
        "summary": msgspec.to_builtins(processed.summary),
        "files": [msgspec.to_builtins(file) for file in processed.products.files],
        "folder": str(processed.products.folder),
    }


def _as_text(processed: ProcessedScene) -> str:
    summary, scene = processed.summary, processed.scene
    inferred = summary.tiles - summary.tiles_without_data
    lines = [
        f"{scene.name} at {scene.ground_sample_distance} m",
        f"  {summary.contaminated_share:.1%} contaminated of {summary.valid_pixels:,} valid pixels",
        f"  {inferred} of {summary.tiles} tiles inferred, {summary.seconds:.1f} s",
        *(f"  note: {remark}" for remark in _remarks(processed)),
        *(
            f"  {file.product:<10} {processed.products.folder / file.name}"
            for file in processed.products.files
        ),
    ]
    return "\n".join(lines)


def _remarks(processed: ProcessedScene) -> list[str]:
    look = processed.stopped_at
    stopped = f"stopped after a first look: at least {look.least:.1%}" if look else ""
    return [
        *filter(None, (stopped,)),
        *processed.scene.remarks,
        *processed.summary.notes,
        *processed.products.report.notes,
    ]
