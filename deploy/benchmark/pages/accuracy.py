"""The mask."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def accuracy_section(results: dict[str, Any]) -> str:
    """Figures of the mask beside their targets."""
    chips = results["cloud_iou_by_chip"]
    rows = [
        [
            f"INT8 against FP32, {results['held_out_tiles']} tiles kept out, mean",
            "≥ 99.4 %",
            f"{results['mean_agreement_with_fp32']:.2%}",
        ],
        ["the same, worst tile", "≥ 97 %", f"{results['worst_agreement_with_fp32']:.2%}"],
        [
            "F2 against the teacher, INT8 less FP32",
            "± 0.005",
            f"{results['f2_int8'] - results['f2_fp32']:+.4f} ({results['f2_int8']:.3f})",
        ],
        [
            "binary agreement with the teacher on the same four bands, regions kept out",
            "≥ 94 %",
            f"{results['agreement_with_four_band_teacher']:.2%}",
        ],
        [
            "the same, where a tile has six bands with the teacher on six (it taught with these)",
            "≥ 94 %",
            f"{results['agreement_with_teacher']:.2%}",
        ],
        [
            "for comparison: the teacher on four bands against itself on six",
            "",
            f"{results['teacher_with_itself_on_four_bands']:.2%}",
        ],
        [
            "the same, against the mean of the teacher on six bands at 10 m and 20 m",
            "",
            f"{results['agreement_with_teacher_at_two_scales']:.2%}",
        ],
        [
            "for comparison: the teacher on six bands at 10 m against that mean",
            "",
            f"{results['teacher_with_itself_at_two_scales']:.2%}",
        ],
        [
            (
                f"called contaminated of {results['clear_tiles']} cloud-free tiles kept out"
                " (sea, farmland, towns, hills), mean; worst"
            ),
            "stay clear",
            (
                f"{results['contaminated_share_of_clear_tiles']:.2%};"
                f" {results['contaminated_share_of_worst_clear_tile']:.2%}"
            ),
        ],
        ["cloud IoU, labelled chip 1 (FP32)", "≥ .746", f"{chips['cloudn_chip1']:.3f}"],
        ["cloud IoU, labelled chip 2 (FP32)", "≥ .720", f"{chips['cloudn_chip2']:.3f}"],
        [
            "F2 on the east half of the real T29UNU product at 60 m (INT8, whole chain)",
            "≥ 0.93",
            f"{results['f2_of_real_product']:.3f}",
        ],
    ]
    return "## The mask\n\n" + markdown_table(["figure", "target", "measured"], rows) + "\n"
