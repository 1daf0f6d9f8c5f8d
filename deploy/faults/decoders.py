"""Everything of the project that reads bytes from outside, each with valid examples."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import rasterio

from deploy.faults.examples import example_of
from flightsw.archive.outcome import Outcome, read_outcome
from flightsw.config import read_settings
from flightsw.dimc.compiled_model import read_compiled_model
from flightsw.errors import FlightError
from flightsw.model.description import read_description
from flightsw.model.package import shipped_package
from flightsw.model.unpacking import unpack
from flightsw.scene import open_scene
from flightsw.scene.area import parse_area
from flightsw.scene.codestream import inspect
from flightsw.scene.manifest import read_manifest
from flightsw.scene.metadata import (
    georeference_of,
    level_of_product,
    parse_time,
    radiometry_of_product,
    size_of_tile,
)
from flightsw.scene.xml_document import parse_document
from telecommands.codec import (
    check_frames,
    convert_arguments,
    decode_as,
    decode_body,
    decode_header,
    decode_packet,
    encode,
    encode_packet,
    read_label,
)
from telecommands.dictionary import (
    PACKETS,
    TELECOMMANDS,
    DownlinkReply,
    DownlinkRequest,
    TelecommandHeader,
)
from telecommands.failure import Failure
from telecommands.groundsim.scenarios.file import read_scenario
from telecommands.groundsim.scenes.scene import SceneRequest, simulate_scene
from telecommands.refusal import Refusal

REFUSALS: Final = (Failure, Refusal)
"""What a decoder may raise; anything else has escaped."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_LENGTH: Final = 2  # bytes before the header of a telecommand
_BANDS: Final = ("B02", "B03", "B04", "B08")
_SIDE: Final = 64
_TIFF_SIDE: Final = 16


@dataclass(frozen=True)
class Decoder:
    """``decode`` reads any bytes; it may write them into the folder, which is its own.

    ``examples`` gives valid ones, made in an empty folder.
    """

    examples: Callable[[Path], Iterator[bytes]]
    decode: Callable[[bytes, Path], object]


def _telecommands(_folder: Path) -> Iterator[bytes]:
    header = encode(TelecommandHeader(2, "unit", "key", 1, bytes(32)))
    for name, kind in TELECOMMANDS.items():
        body = {"id": "a", "name": name, "args": example_of(kind), "sent_at": 0}
        yield len(header).to_bytes(_LENGTH, "big") + header + encode(body)


def _telecommand(content: bytes, _folder: Path) -> None:
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "big")
    header, body = check_frames([content[_LENGTH:end], content[end:]])
    read_label(body)
    decode_header(header)
    read = decode_body(body)
    convert_arguments(read.name, read.args)


def _packets(_folder: Path) -> Iterator[bytes]:
    for number, (topic, kind) in enumerate(PACKETS.items()):
        body = example_of(kind)
        _topic, frame = encode_packet(topic, body, unit="unit", boot=1, sequence=1, t=0)
        yield bytes([number]) + frame


def _packet(content: bytes, _folder: Path) -> None:
    topics = list(PACKETS)
    decode_packet(topics[content[0] % len(topics)].encode() if content else b"", content[1:])


def _messages(kinds: Any) -> Callable[[Path], Iterator[bytes]]:
    return lambda _folder: (encode(example_of(kind)) for kind in get_args(kinds))


def _message(kinds: Any) -> Callable[[bytes, Path], object]:
    return lambda content, _folder: decode_as(kinds, content, "the message")


def _product_xml(folder: Path) -> Iterator[bytes]:
    product = _product(folder)
    for path in (*product.glob("MTD_MSI*.xml"), *product.glob("GRANULE/*/MTD_TL.xml")):
        yield path.read_bytes()


def _read_xml(content: bytes, folder: Path) -> None:
    document = parse_document(folder / "metadata.xml", content)
    for read in (
        lambda: radiometry_of_product(document, level_of_product(document), _BANDS, None),
        lambda: georeference_of(document, 10, 1),
        lambda: size_of_tile(document, 10),
    ):
        try:
            read()
        except FlightError:
            continue  # each of them reads other elements
    parse_time(document.text("SENSING_TIME"))


def _manifests(folder: Path) -> Iterator[bytes]:
    yield (_product(folder) / "manifest.safe").read_bytes()


def _read_manifest(content: bytes, folder: Path) -> None:
    (folder / "manifest.safe").write_bytes(content)
    read_manifest(folder).judge([folder / "B02.jp2"])


def _images(folder: Path) -> Iterator[bytes]:
    yield next(_product(folder).glob("GRANULE/*/IMG_DATA/R10m/*_B02_10m.jp2")).read_bytes()


def _inspect(content: bytes, folder: Path) -> None:
    path = folder / "B02.jp2"
    path.write_bytes(content)
    inspect(path)


def _rasters(folder: Path) -> Iterator[bytes]:
    path = folder / "scene_20230505T103031.tif"
    _write_raster(path, _BANDS)
    yield path.read_bytes()


def _write_raster(path: Path, bands: Sequence[str]) -> None:
    layout = {"width": _TIFF_SIDE, "height": _TIFF_SIDE, "count": len(bands), "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", **layout, **place) as file:
        file.write(np.full((len(bands), _TIFF_SIDE, _TIFF_SIDE), 1200, np.uint16))
        file.descriptions = bands
        file.scales, file.offsets = (1e-4,) * len(bands), (-0.1,) * len(bands)


def _open_raster(content: bytes, folder: Path) -> None:
    path = folder / "scene_20230505T103031.tif"
    path.write_bytes(content)
    open_scene(path)


def _items(_folder: Path) -> Iterator[bytes]:
    bands = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
    assets = {
        name: {
            "href": f"./{band}.tif",
            "eo:bands": [{"name": band, "common_name": name}],
            "raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}],
        }
        for name, band in bands.items()
    }
    properties = {"datetime": "2023-05-05T10:30:31Z", "platform": "sentinel-2a"}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": properties}
    yield json.dumps(item | {"assets": assets, "links": [], "geometry": None}).encode()


def _open_item(content: bytes, folder: Path) -> None:
    for band in _BANDS:
        if not (folder / f"{band}.tif").exists():
            _write_raster(folder / f"{band}.tif", [band])
    path = folder / "item.json"
    path.write_bytes(content)
    open_scene(path, within=folder)


def _areas(_folder: Path) -> Iterator[bytes]:
    ring = [[11.0, 42.0], [12.0, 42.0], [12.0, 43.0], [11.0, 42.0]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    yield json.dumps(polygon).encode()
    features = [{"type": "Feature", "geometry": polygon, "properties": {}}]
    yield json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _packages(_folder: Path) -> Iterator[bytes]:
    package = shipped_package()
    yield b"\0" + (package / "package.json").read_bytes()
    for number, name in enumerate(("model.json", "manifest.json"), start=1):
        yield bytes([number]) + next(package.glob(f"*/{name}")).read_bytes()


def _read_package(content: bytes, folder: Path) -> None:
    kind, text = content[:1], content[1:]
    if kind == b"\0":
        (folder / "package.json").write_bytes(text)
        read_description(folder / "package.json")
        return
    shipped = next(shipped_package().glob("*/model.json")).parent
    for name in ("model.json", "manifest.json"):
        (folder / name).write_bytes((shipped / name).read_bytes())
    (folder / ("model.json" if kind == b"\1" else "manifest.json")).write_bytes(text)
    (folder / "quantized_model.onnx").touch()
    read_compiled_model(folder / "model.json")


def _archives(folder: Path) -> Iterator[bytes]:
    (folder / "a.json").write_bytes(b"{}")
    with tarfile.open(folder / "a.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("package.json", "compiled/model.json"):
            archive.add(folder / "a.json", name)
    yield (folder / "a.tar").read_bytes()


def _unpack(content: bytes, folder: Path) -> None:
    (folder / "a.tar").write_bytes(content)
    shutil.rmtree(folder / "package", ignore_errors=True)
    with FileIO(folder / "a.tar") as archive:
        unpack(archive, folder / "package")


def _settings(_folder: Path) -> Iterator[bytes]:
    yield b'engines = ["dimc"]\n[dimc]\nthreads = 2\n[dimc.twin]\nlatency_ms = 1.0\n'
    yield b'[service]\nunit = "a"\ncurve = true\n[scene]\nbands = ["B02"]\noffset = -1000\n'


def _read_settings(content: bytes, folder: Path) -> None:
    path = folder / "flight.toml"
    path.write_bytes(content)
    read_settings(path)


def _scenarios(_folder: Path) -> Iterator[bytes]:
    for path in sorted((_ROOT / "docs" / "scenarios").glob("*.yaml")):
        yield path.read_bytes()


def _read_scenario(content: bytes, folder: Path) -> None:
    path = folder / "scenario.yaml"
    path.write_bytes(content)
    read_scenario(path, {})


def _outcomes(_folder: Path) -> Iterator[bytes]:
    yield json.dumps(example_of(Outcome)).encode()


def _read_outcome(content: bytes, folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(content)
    read_outcome(path)


def _product(folder: Path) -> Path:
    """A simulated product in the folder."""
    products = list(folder.glob("*.SAFE"))
    if not products:
        simulate_scene(SceneRequest(folder, size=_SIDE, workers=1), lambda _done, _total: None)
        products = list(folder.glob("*.SAFE"))
    return products[0]


DECODERS: Final[Mapping[str, Decoder]] = {
    "telecommand": Decoder(_telecommands, _telecommand),
    "downlink-request": Decoder(_messages(DownlinkRequest), _message(DownlinkRequest)),
    "downlink-reply": Decoder(_messages(DownlinkReply), _message(DownlinkReply)),
    "packet": Decoder(_packets, _packet),
    "safe-xml": Decoder(_product_xml, _read_xml),
    "manifest": Decoder(_manifests, _read_manifest),
    "jp2": Decoder(_images, _inspect),
    "geotiff": Decoder(_rasters, _open_raster),
    "stac-item": Decoder(_items, _open_item),
    "area": Decoder(_areas, lambda content, _folder: parse_area(content)),
    "package": Decoder(_packages, _read_package),
    "uplink": Decoder(_archives, _unpack),
    "settings": Decoder(_settings, _read_settings),
    "scenario": Decoder(_scenarios, _read_scenario),
    "archive-record": Decoder(_outcomes, _read_outcome),
}
