"""Offsets, quantification and baselines, from real files and from spoilt ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw import sentinel_2
from flightsw.errors import BadMetadata, SceneError
from flightsw.scene import open_scene
from flightsw.scene.metadata import (
    georeference_of,
    level_of_product,
    level_of_tile,
    parse_time,
    radiometry_of_product,
    radiometry_of_tile,
)
from flightsw.scene.xml_document import Document, parse_document, read_bytes
from tests.unit.flightsw.scene.safe_writer import BANDS, SafeProduct, write_manifest

ALL = sentinel_2.BANDS
MINUS = {str(number): "-1000" for number in range(13)}


class RealProduct(NamedTuple):
    """What a person reads in the files of a real product."""

    start: str
    level: str
    baseline: str
    offset: int
    crs: str
    corner: tuple[int, int]


REAL = [
    RealProduct("S2A_MSIL1C_20200717", "L1C", "02.09", 0, "EPSG:32701", (99960, 8300020)),
    RealProduct("S2A_MSIL1C_20210908", "L1C", "03.01", 0, "EPSG:32646", (499980, 3100020)),
    RealProduct("S2A_MSIL2A_20190212", "L2A", "02.12", 0, "EPSG:32707", (600000, 6500020)),
    RealProduct("S2A_MSIL2A_20230625", "L2A", "05.09", -1000, "EPSG:32601", (300000, 7400040)),
    RealProduct("S2A_MSIL2A_20230821", "L2A", "05.09", -1000, "EPSG:32701", (99960, 8200000)),
    RealProduct("S2B_MSIL2A_20220413", "L2A", "04.00", -1000, "EPSG:32633", (499980, 8900040)),
    RealProduct("esa_S2B_MSIL2A_20210122", "L2A", "02.14", 0, "EPSG:32722", (199980, 5900020)),
]


def document(path: Path) -> Document:
    return parse_document(path, read_bytes(path))


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.start)
def test_real_metadata(shared_data: Path, real: RealProduct) -> None:
    (root,) = (shared_data / "safe" / "metadata").glob(f"{real.start}*")
    (product_xml,) = root.glob("MTD_MSI*.xml")
    (tile_xml,) = root.glob("GRANULE/*/MTD_TL.xml")
    product, tile = document(product_xml), document(tile_xml)
    assert level_of_product(product) == level_of_tile(tile) == real.level
    for known in (
        radiometry_of_product(product, real.level, ALL, None),
        radiometry_of_tile(tile, real.level, ALL, None, root),
    ):
        assert known.baseline == real.baseline
        assert known.offsets == dict.fromkeys(ALL, real.offset)
        assert known.quantification == 10_000
    georeference = georeference_of(tile, 10, 2)
    assert georeference is not None
    assert georeference.crs == real.crs
    left, top = real.corner
    assert georeference.transform == (20, 0, left, 0, -20, top)
    assert parse_time(tile.text("SENSING_TIME")) is not None


def test_the_table_names_every_real_file(shared_data: Path) -> None:
    assert len(list((shared_data / "safe" / "metadata").iterdir())) == len(REAL)


def product_document(tmp_path: Path, product: SafeProduct, extra: str = "") -> Document:
    path = tmp_path / f"MTD_MSI{product.level}.xml"
    path.write_text(product.product_text().replace("</n1:", f"{extra}</n1:"))
    return document(path)


@pytest.mark.parametrize(
    ("baseline", "offsets", "extra", "cause"),
    [
        ("04.00", None, "", "lacks BOA_ADD_OFFSET"),
        ("05.11", None, "", "lacks BOA_ADD_OFFSET"),
        ("99.99", None, "", "lacks BOA_ADD_OFFSET, so whether its DN has an offset is unknown"),
        ("", None, "", "BOA_ADD_OFFSET is absent"),
        ("4", None, "", "BOA_ADD_OFFSET is absent"),
        ("04.00", {**MINUS, "3": "-1000.5"}, "", "'-1000.5' for band B04"),
        ("04.00", {**MINUS, "3": ""}, "", "'' for band B04"),
        ("04.00", {**MINUS, "3": "1000"}, "", "'1000' for band B04"),
        ("04.00", {**MINUS, "3": "-10001"}, "", "'-10001' for band B04"),
        (
            "04.00",
            {"1": "-1000", "2": "-1000", "3": "-1000"},
            "",
            "lacks BOA_ADD_OFFSET for band B08",
        ),
        ("03.01", {"77": "-1000"}, "", "lacks BOA_ADD_OFFSET for band B02"),
        ("04.00", MINUS, '<BOA_ADD_OFFSET band_id="7">0</BOA_ADD_OFFSET>', "both -1000 and 0"),
    ],
)
def test_an_offset_that_is_in_doubt_is_refused(
    tmp_path: Path, baseline: str, offsets: Mapping[str, str] | None, extra: str, cause: str
) -> None:
    product = SafeProduct(baseline=baseline, offsets=offsets)
    found = product_document(tmp_path, product, extra)
    with pytest.raises(BadMetadata) as caught:
        radiometry_of_product(found, "L2A", BANDS, None)
    assert cause in caught.value.cause
    assert caught.value.subject == str(found.path)
    assert "ive its offset: -1000" in caught.value.cure
    assert caught.value.fields["element"] == "BOA_ADD_OFFSET"
    given = radiometry_of_product(found, "L2A", BANDS, -1000)
    assert given.offsets == dict.fromkeys(BANDS, -1000)
    assert any("was given" in remark for remark in given.remarks)


def test_an_offset_that_is_not_needed_may_be_wrong(tmp_path: Path) -> None:
    found = product_document(tmp_path, SafeProduct(offsets={**MINUS, "0": "nonsense"}))
    assert radiometry_of_product(found, "L2A", BANDS, None).offsets["B02"] == -1000


def test_an_old_baseline_without_offsets_has_none(tmp_path: Path) -> None:
    found = product_document(tmp_path, SafeProduct(baseline="03.01", offsets=None))
    assert radiometry_of_product(found, "L2A", BANDS, None).offsets == dict.fromkeys(BANDS, 0)


def test_an_unknown_baseline_with_offsets_is_a_remark(tmp_path: Path) -> None:
    found = product_document(tmp_path, SafeProduct(baseline="99.99"))
    known = radiometry_of_product(found, "L2A", BANDS, None)
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert any("99.99" in remark for remark in known.remarks)


def test_each_band_has_its_own_offset_and_b8a_its_own(tmp_path: Path) -> None:
    offsets = {str(number): str(-1000 - number) for number in range(13)}
    bands = ("B02", "B03", "B04", "B8A")
    root = SafeProduct(at={20: bands}, offsets=offsets).write(tmp_path)
    assert open_scene(root).metadata.offsets == {
        "B02": -1001,
        "B03": -1002,
        "B04": -1003,
        "B08": -1008,
    }


def test_band_ids_follow_the_files_own_spectral_information(tmp_path: Path) -> None:
    extra = (
        '<Spectral_Information bandId="20" physicalBand="B2"/>'
        '<BOA_ADD_OFFSET band_id="20">-1000</BOA_ADD_OFFSET>'
    )
    found = product_document(tmp_path, SafeProduct(offsets=None), extra)
    assert radiometry_of_product(found, "L2A", ("B02",), None).offsets == {"B02": -1000}


@pytest.mark.parametrize("value", ["0", "-10000", "", "many", "nan", "inf", "1e400"])
def test_a_quantification_value_must_be_a_number_above_zero(tmp_path: Path, value: str) -> None:
    found = product_document(tmp_path, SafeProduct(quantification=value))
    with pytest.raises(BadMetadata, match="BOA_QUANTIFICATION_VALUE"):
        radiometry_of_product(found, "L2A", BANDS, None)


@pytest.mark.parametrize("code", ["EPSG:99999", "EPSG:3263g", "EPSG:1e5", "PROJCS["])
def test_a_coordinate_system_that_nobody_knows_is_refused(tmp_path: Path, code: str) -> None:
    root = SafeProduct().write(tmp_path)
    (tile,) = root.glob("GRANULE/*/MTD_TL.xml")
    tile.write_text(tile.read_text().replace("EPSG:32629", code))
    write_manifest(root)
    with pytest.raises(BadMetadata, match=re.escape(code)) as caught:
        open_scene(root)
    assert caught.value.fields["element"] == "HORIZONTAL_CS_CODE"


def test_another_level_is_refused(tmp_path: Path) -> None:
    found = product_document(tmp_path, replace(SafeProduct(), level="L1B"))
    with pytest.raises(BadMetadata, match="Level-1B"):
        level_of_product(found)


def test_contradictory_elements_are_refused(tmp_path: Path) -> None:
    extra = "<PROCESSING_BASELINE>02.14</PROCESSING_BASELINE>"
    found = product_document(tmp_path, SafeProduct(), extra)
    with pytest.raises(BadMetadata, match=r"02.14, 04.00"):
        radiometry_of_product(found, "L2A", BANDS, None)


def test_entities_and_document_types_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("04.00")
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a>&x;</a>'
    with pytest.raises(BadMetadata, match="document type"):
        parse_document(tmp_path / "x.xml", text.encode())


@pytest.mark.parametrize("piece", ["<a/>", "<!---->", "<?a?>", "<r a='' b='' c='' d=''/>"])
def test_xml_that_would_take_much_memory_is_refused_before_it_is_parsed(
    tmp_path: Path, piece: str
) -> None:
    text = f"<r>{piece * 200_000}</r>"
    with pytest.raises(BadMetadata, match="more than 200000 elements or attributes"):
        parse_document(tmp_path / "x.xml", text.encode())


def test_a_metadata_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    with path.open("wb") as file:
        file.truncate(56 << 20)
    with pytest.raises(BadMetadata, match="larger than 4194304 bytes"):
        read_bytes(path)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product whose manifest does not list the XML files."""
    product = SafeProduct(height=24, width=20, tile=None, checksum=None)
    return product.write(tmp_path_factory.mktemp("xml"))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_xml_is_read_or_refused_but_nothing_else(
    product: Path, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([*product.glob("MTD*"), *product.glob("GRANULE/*/MTD_TL*")]))
    good = path.read_bytes()
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        path.write_bytes(bad[: data.draw(st.integers(0, len(bad)))])
        open_scene(product)
    except SceneError:
        pass
    finally:
        path.write_bytes(good)


def test_damaged_xml_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    write_manifest(root)
    path = root / "MTD_MSIL2A.xml"
    path.write_text(path.read_text().replace("-1000", "-1001"))
    with pytest.raises(BadMetadata, match="SHA3-256"):
        open_scene(root)
