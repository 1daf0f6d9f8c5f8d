from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.host.processor import multiplies_bfloat16, sums_int8_products_exactly


@pytest.mark.parametrize(
    ("flags", "exact"),
    [
        ("fpu avx avx2", False),
        ("fpu avx avx2 avx512f avx512bw", False),
        ("fpu avx avx2 avx512f avx512_vnni", True),
        ("fpu avx avx2 avx_vnni", True),
        ("fpu avx512f amx_int8", True),
    ],
)
def test_a_dot_product_instruction_makes_int8_sums_exact(
    flags: str, exact: bool, tmp_path: Path
) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
    assert sums_int8_products_exactly(listed, "x86_64") == exact


def test_one_core_without_the_instruction_is_enough_to_do_without(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("flags : avx2 avx_vnni\nflags : avx2\n")
    assert not sums_int8_products_exactly(listed, "x86_64")


@pytest.mark.parametrize("content", [None, "", "model name : unknown\n"])
def test_an_unknown_processor_counts_as_inexact(content: str | None, tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    if content is not None:
        listed.write_text(content)
    assert not sums_int8_products_exactly(listed, "x86_64")


def test_arm_widens_before_it_adds(tmp_path: Path) -> None:
    assert sums_int8_products_exactly(tmp_path / "absent", "aarch64")


@pytest.mark.parametrize(
    ("content", "fast"),
    [
        ("flags : avx2 avx512_bf16\nflags : avx2 avx512_bf16\n", True),
        ("flags : avx2 avx512_bf16\nflags : avx2\n", False),
        ("flags : avx2 amx_bf16\n", True),
        ("Features : fp asimd bf16\n", True),
        ("Features : fp asimd\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_fast_only_if_all_cores_have_it(
    content: str, fast: bool, tmp_path: Path
) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(content)
    assert multiplies_bfloat16(listed) == fast
