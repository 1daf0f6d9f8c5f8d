"""``flightsw process``: a scene on disk to products."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from flightsw.commands.options import Check, add_engine_options, engine_notices, engine_settings
from flightsw.config import NameStyle
from flightsw.products.kinds import DEFAULT_PRODUCTS, PRODUCT_KINDS

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    kinds = "\n".join(f"  {kind.name:<10} {kind.description}" for kind in PRODUCT_KINDS)
    parser = commands.add_parser(
        "process",
        help="turn a scene on disk into a cloud mask and its products",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"products:\n{kinds}",
    )
    parser.set_defaults(run=run)
    parser.add_argument("scene", type=Path, help="SAFE folder, bare GRANULE layout, or GeoTIFF")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the products")
    parser.add_argument(
        "--products",
        default=",".join(kind.name for kind in PRODUCT_KINDS if kind.name in DEFAULT_PRODUCTS),
        help="comma-separated kinds (default: %(default)s)",
    )
    parser.add_argument(
        "--ground-sample-distance",
        type=int,
        choices=(10, 20, 40),
        default=10,
        help="metres a pixel (default: %(default)s)",
    )
    parser.add_argument("--fusion", choices=("or", "blend"), help="of overlapping tiles")
    parser.add_argument("--offset", type=int, help="DN offset of all bands, against the metadata")
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


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Process the scene and print what was made."""
    from tqdm import tqdm  # noqa: PLC0415

    from flightsw.chain import SceneRequest, open_chain  # noqa: PLC0415

    check()
    request = SceneRequest(
        scene=arguments.scene,
        out=arguments.out,
        products=frozenset(filter(None, arguments.products.split(","))),
        ground_sample_distance=arguments.ground_sample_distance,
        offset=arguments.offset,
        fusion=arguments.fusion,
        overwrite=arguments.overwrite,
    )
    with tqdm(
        total=None, unit="row", disable=not sys.stderr.isatty() or arguments.quiet, leave=False
    ) as bar:

        def advance(done: int, height: int) -> None:
            check()
            bar.total = height
            bar.update(done - bar.n)

        settings = engine_settings(arguments)
        if arguments.names:
            settings = msgspec.structs.replace(settings, product_names=arguments.names)
        with open_chain(settings, engine_notices()) as chain:
            processed = chain.process(request, advance)
    print(json.dumps(_as_json(processed)) if arguments.json else _as_text(processed))
    return 0


def _as_json(processed: ProcessedScene) -> dict[str, Any]:
    return {
        "scene": processed.scene.name,
        "ground_sample_distance": processed.scene.ground_sample_distance,
        "remarks": list(processed.scene.remarks),
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
        *(f"  note: {remark}" for remark in scene.remarks),
        *(
            f"  {file.product:<10} {processed.products.folder / file.name}"
            for file in processed.products.files
        ),
    ]
    return "\n".join(lines)
