"""Mask clouds: a SAFE product, or a GeoTIFF, to an array and to products.

python mask_a_scene.py SCENE OUT
"""

import sys
from pathlib import Path

import numpy as np

import flightsw


def main(scene: Path, out: Path) -> int:
    """Write products to ``out``, print what they say, and return the exit status."""
    try:
        processed = flightsw.process(scene, out, products=["mask", "geotiff", "report"])
    except flightsw.FlightError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{processed.scene.name}: {processed.summary.contaminated_share:.1%} contaminated")
    for file in processed.products.files:
        print(f"  {file.product:<8} {processed.products.folder / file.name}")

    # The same mask as an array, without a file.
    mask = flightsw.mask(scene)
    for name, value in (("clear", 0), ("contaminated", 1), ("no data", 255)):
        print(f"  {name:<14} {np.count_nonzero(mask == value):>12,} pixels")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
