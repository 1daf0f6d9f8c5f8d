"""Paths and addresses, and what a reference in a document names."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.host.location import (
    as_https,
    last_part_of,
    location_of,
    name_of,
    resolved,
    shown,
    suffix_of,
)

URL = "https://earth.example/v1/items/S2A_31UFU?sig=abc"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("a/b.tif", Path("a/b.tif")),
        (Path("a/b.tif"), Path("a/b.tif")),
        ("file:///data/a%20b.json", Path("/data/a b.json")),
        (URL, URL),
        ("s3://bucket/a.json", "s3://bucket/a.json"),
        ("/vsicurl/https://x/a.tif", "https://x/a.tif"),
        ("/vsis3/bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("odd://name", Path("odd://name")),
    ],
)
def test_a_text_is_a_path_or_an_address(text: str | Path, location: Path | str) -> None:
    assert location_of(text) == location


def test_an_address_has_the_name_of_its_last_part_without_its_query() -> None:
    address = "https://x.org/items/S2A_31UFU.json?a=b/c.tif"
    assert (last_part_of(address), name_of(address)) == ("S2A_31UFU.json", "S2A_31UFU")
    assert suffix_of(address) == ".json"
    assert suffix_of(Path("a/B.TIF")) == ".tif"


@pytest.mark.parametrize(
    ("address", "https"),
    [
        ("s3://open-data/a/b.json", "https://open-data.s3.amazonaws.com/a/b.json"),
        ("/vsis3/open-data/a/b.json", "https://open-data.s3.amazonaws.com/a/b.json"),
        ("gs://open-data/b.json", "https://storage.googleapis.com/open-data/b.json"),
        ("https://x.org/b.json?t=1", "https://x.org/b.json?t=1"),
    ],
)
def test_open_data_in_a_bucket_has_an_https_address(address: str, https: str) -> None:
    assert as_https(address) == https


@pytest.mark.parametrize(
    ("reference", "base", "location"),
    [
        ("./B02.tif", "https://x.org/a/item.json?t=1", "https://x.org/a/B02.tif"),
        ("/c/B02.tif", "https://x.org/a/item.json", "https://x.org/c/B02.tif"),
        ("s3://b/B02.tif", "https://x.org/a/item.json", "s3://b/B02.tif"),
        ("../B02.tif", Path("/a/b/item.json"), Path("/a/b/../B02.tif")),
        ("B%2002.tif", Path("/a/item.json"), Path("/a/B 02.tif")),
        ("/c/B02.tif", Path("/a/item.json"), Path("/c/B02.tif")),
        ("file:///c/B02.tif", Path("/a/item.json"), Path("/c/B02.tif")),
        ("/vsicurl/https://x/B02.tif", Path("/a/item.json"), "https://x/B02.tif"),
    ],
)
def test_a_reference_counts_from_its_document(
    reference: str, base: Path | str, location: Path | str
) -> None:
    assert resolved(reference, base) == location


@pytest.mark.parametrize(
    ("reference", "base"),
    [
        ("ftp://x/a.tif", Path("/a/item.json")),
        ("/vsisubfile/0_1,a.tif", Path("/a/item.json")),
        ("vrt:///etc/passwd", Path("/a/item.json")),
        ("file:///etc/passwd", "https://x.org/item.json"),
        ("/vsizip/a.zip/b.tif", "https://x.org/item.json"),
    ],
)
def test_other_kinds_of_reference_are_not_followed(reference: str, base: Path | str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        resolved(reference, base)


def test_what_is_shown_has_no_password_and_no_query() -> None:
    text = "'/vsicurl/https://me:pw@x.org/a.tif?sig=s%2F3': HTTP 403"
    assert shown(text) == "'/vsicurl/https://x.org/a.tif': HTTP 403"
    assert shown(Path("/a/really?.tif")) == "/a/really?.tif"
