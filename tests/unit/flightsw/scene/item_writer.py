"""STAC items as the catalogues write them, with small GeoTIFFs beside them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.unit.flightsw.scene.test_geotiff import BANDS, PIXELS, write_tiff

COLOURS = ("blue", "green", "red", "nir")
NUMBERS = PIXELS[:, :70, :60]
PROPERTIES = {
    "datetime": "2023-07-01T10:46:30.262000Z",
    "platform": "sentinel-2a",
    "s2:processing_baseline": "05.09",
    "s2:product_type": "S2MSI2A",
    "grid:code": "MGRS-31UFU",
}
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"

Assets = dict[str, dict[str, Any]]


def write_bands(folder: Path, pixels: Any = NUMBERS, **tags: Any) -> None:
    """``B02.tif`` to ``B08.tif``, without tags unless some are given."""
    for band, plane in zip(BANDS, pixels, strict=True):
        write_tiff(folder / f"{band}.tif", plane[None], names=("",), **{"scale": None, **tags})


def write_item(
    folder: Path, assets: Assets, name: str = "item.json", version: str = "1.0.0", **properties: Any
) -> Path:
    """An item, with ``properties`` in addition to a Sentinel-2 scene's; None takes one away."""
    all_properties = {**PROPERTIES, **properties}
    content = {
        "type": "Feature",
        "stac_version": version,
        "id": "S2A_31UFU_20230701_0_L2A",
        "properties": {key: one for key, one in all_properties.items() if one is not None},
        "assets": assets,
    }
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def earth_search(offset: float = -0.1, **changes: Any) -> Assets:
    """Assets by colour, each with what is not wanted beside it."""
    assets: Assets = {
        "thumbnail": {"href": "https://x.org/a.jpg", "roles": ["thumbnail"]},
        "visual": {
            "href": "TCI.tif",
            "type": TIFF,
            "roles": ["visual"],
            "eo:bands": [{"common_name": colour} for colour in ("red", "green", "blue")],
        },
        "nir08": {"href": "B8A.tif", "type": TIFF, "eo:bands": [{"common_name": "nir08"}]},
    }
    for colour, band in zip(COLOURS, BANDS, strict=True):
        bands = [{"name": colour, "common_name": colour}]
        assets[f"{colour}-jp2"] = {
            "href": f"s3://x/{band}.jp2",
            "type": "image/jp2",
            "eo:bands": bands,
        }
        assets[colour] = {
            "href": f"./{band}.tif",
            "type": TIFF,
            "gsd": 10,
            "eo:bands": bands,
            "raster:bands": [{"scale": 1e-4, "offset": offset, "nodata": 0}],
            **changes,
        }
    return assets


def by_key(form: str = "{}.tif") -> Assets:
    """Assets known by their keys alone, as of Planetary Computer and HLS."""
    return {band: {"href": form.format(band), "type": TIFF} for band in BANDS}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of the folder's files, on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: bytes | None) -> None:
            path = folder / self.path.split("?")[0].strip("/")
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            part = content
            if asked:
                part = content[int(asked[1]) : int(asked[2]) + 1]
                end = int(asked[1]) + len(part) - 1
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            if asked:
                self.send_header("Content-Range", f"bytes {asked[1]}-{end}/{len(content)}")
            self.end_headers()
            self.wfile.write(part if body is None else body)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
