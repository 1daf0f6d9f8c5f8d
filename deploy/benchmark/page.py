"""Renders the measured figures as ``docs/benchmarks.md``, a section a part of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from deploy.benchmark.peers import OURS
from deploy.benchmark.scenario import OPENVINO_TILES
from flightsw.bench.report import number, table

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
"""The figures that it shows are beside it as JSON."""

_INTRODUCTION: Final = """\
# Benchmarks

Written by `make bench` (`python -m deploy.benchmark`) from [the figures](benchmarks.json) that it measured.
The machines were shared with other work: the ratios are taken within one run and are what counts; absolute times drift.
[Known limits and open performance work](what-remains.md) is a separate page.

"""  # noqa: E501

_TARGETS_OF_CARDS: Final = {
    (0.94, "spatial"): "≥ 99 %, 1,050 tiles/s",
    (0.47, "batch"): "≥ 99 %, 2,000 tiles/s",
}
_TEACHER: Final = "ukis-csmask"
_OURS: Final = {
    OURS: ("simulator computing", {10: "≥ 3.5", 20: "≥ 12"}),
    "flightsw-twin": ("twin's timing", {10: "≥ 3.5", 20: "≥ 12"}),
    "flightsw-simulator-fast": ("simulator computing, fast decode", {10: "≥ 6", 20: "≥ 20"}),
    "flightsw-twin-fast": ("twin's timing, fast decode", {10: "≥ 12", 20: "≥ 35"}),
}
"""Its way through the chain, and how many times the teacher's time at 10 m is expected."""
_SCENARIOS: Final = {
    "decode": "bare strip decode (glymur)",
    "decode_fast": "bare strip decode, fast",
    "openvino": f"bare OpenVINO, {OPENVINO_TILES:,} tiles",
    "twin": "twin's timing",
    "simulator": "simulator computing",
    "twin_imagery": "twin's timing, with cloud fill and quick-look",
    "simulator_20m": "simulator computing, 20 m",
    "twin_fast": "twin's timing, fast decode",
    "simulator_fast": "simulator computing, fast decode",
    "twin_fast_20m": "twin's timing, fast decode, 20 m",
    "simulator_fast_20m": "simulator computing, fast decode, 20 m",
}

_TARGETS_OF_FAST: Final = {
    "twin_fast": "≤ 0.50",
    "twin_fast_20m": "≤ 0.15",
}
_CORE_WATTS: Final = 1.5  # of a busy core, an assumption: nobody has measured a Jetson's

_Results = dict[str, Any]
_Figures = Sequence[tuple[str, str, str]]
"""Figure, target and measured value of each line, as formats of the results."""

_ACCURACY: Final[_Figures] = (
    ("INT8 against FP32, {held_out_tiles} held-out tiles, mean", "≥ 99.4 %",
     "{mean_agreement_with_fp32:.2%}"),
    ("the same, worst tile", "≥ 97 %", "{worst_agreement_with_fp32:.2%}"),
    ("F2 against the teacher, INT8 less FP32", "± 0.005", "{f2_difference:+.4f} ({f2_int8:.3f})"),
    ("binary agreement with the teacher on the same four bands, held-out regions", "≥ 94 %",
     "{agreement_with_four_band_teacher:.2%}"),
    ("the same, for tiles with six bands: with the teacher on six (which gave the labels)",
     "≥ 94 %", "{agreement_with_teacher:.2%}"),
    ("for comparison: the teacher on four bands against itself on six", "",
     "{teacher_with_itself_on_four_bands:.2%}"),
    ("the same, against the mean of the teacher on six bands at 10 m and 20 m", "",
     "{agreement_with_teacher_at_two_scales:.2%}"),
    ("for comparison: the teacher on six bands at 10 m against that mean", "",
     "{teacher_with_itself_at_two_scales:.2%}"),
    (("marked contaminated of {clear_tiles} cloud-free held-out tiles"
      " (sea, farmland, towns, hills), mean; worst"), "stay clear",
     "{contaminated_share_of_clear_tiles:.2%}; {contaminated_share_of_worst_clear_tile:.2%}"),
    ("cloud IoU, labelled chip 1 (FP32)", "≥ .746", "{cloud_iou_by_chip[cloudn_chip1]:.3f}"),
    ("cloud IoU, labelled chip 2 (FP32)", "≥ .720", "{cloud_iou_by_chip[cloudn_chip2]:.3f}"),
    ("F2 on the east half of the real T29UNU product at 60 m (INT8, whole chain)", "≥ 0.93",
     "{f2_of_real_product:.3f}"),
)  # fmt: skip

_SERVICE: Final[_Figures] = (
    ("idle: memory", "≤ 350 MB", "{idle_memory_mb:.0f} MB"),
    ("idle: share of a core", "≤ 1 %", "{idle_core_share:.2%}"),
    ("telecommand to job start, idle, median; worst of 20", "≤ 50 ms",
     "{start_ms:.1f} ms; {start_worst_ms:.1f} ms"),
    ("PING, idle, P99", "", "{ping_idle_p99_ms:.1f} ms"),
    ("PING while a full scene is processed, P50; P99 of {pings_under_load}", "P99 ≤ 10 ms",
     "{ping_load_p50_ms:.1f} ms; {ping_load_p99_ms:.1f} ms (max {ping_load_max_ms:.1f})"),
    ("processing in the service over `flightsw process`, full scene, simulator computing",
     "≤ 1.03", "{ratio:.3f}"),
    ("flood of {flood_offered} telecommands at 1,000 a second, unanswered", "0",
     "{flood_unanswered}"),
    ("flood: growth of memory", "flat", "{flood_memory_growth_mb:+.1f} MB"),
    ("flood: PING of another client, P99", "", "{flood_ping_p99_ms:.1f} ms"),
    ("lost by a good listener of {stuck_listener_packets} packets beside one that never reads",
     "0", "{stuck_listener_lost}"),
    ("downlink on loopback, encrypted, written and hashed (median of three products)",
     "≥ 300 MB/s", "{downlink_mb_per_s:.0f} MB/s"),
    ("bare CURVE sockets, same run", "", "{plain_curve_mb_per_s:.0f} MB/s"),
)  # fmt: skip

_DASHBOARD: Final[_Figures] = (
    ("of {packets[sent]} packets: missing in the archive; stored twice", "0; 0",
     "{packets[missing]}; {packets[repeated]}"),
    ("of {values[sent]} values of {points} points: not handed to the page's views; handed twice",
     "0; 0", "{values[missing]}; {values[repeated]}"),
    ("page: gap between frames, P50; P99; max", "responsive",
     "{frame_gaps_ms[p50]:.0f} ms; {frame_gaps_ms[p99]:.0f} ms; {frame_gaps_ms[max]:.0f} ms"),
    ("first contentful paint (a loading message), median; max of {first_paint[visits]}", "≤ 3 s",
     "{first_paint[first_paint_ms][median]:.0f} ms; {first_paint[first_paint_ms][max]:.0f} ms"),
    ("the same visits: to the overview with its values", "≤ 3 s",
     "{first_paint[overview_ms][median]:.0f} ms; {first_paint[overview_ms][max]:.0f} ms"),
)  # fmt: skip


def render(results: _Results) -> str:
    """The page; a part that was not measured is marked as such."""
    page = _INTRODUCTION
    for part, (title, section) in _SECTIONS.items():
        run = results.get(part)
        if run is None:
            page += f"## {title}\n\nNot measured.\n\n"
            continue
        page += f"## {title}\n\n{section(run).strip()}\n\n"
        page += f"Measured by `{run['command']}` on {run['date']}, on {run['machine']}.\n\n"
    return page.rstrip() + "\n"


def _figures(figures: _Figures, results: _Results) -> str:
    rows = [[cell.format_map(results) for cell in row] for row in figures]
    return table(["figure", "target", "measured"], rows)


def _chain(results: _Results) -> str:
    rounds, ratios = results["rounds"], results["ratios"]

    def middle(name: str, key: str) -> float:
        return float(median(one[name][key] for one in rounds))

    rows = [
        [
            _SCENARIOS[name],
            f"{middle(name, 'seconds'):.1f} s",
            f"{middle(name, 'cpu_seconds'):.1f} s",
            f"{ratio:.3f}",
            f"{(middle(name, 'peak_bytes') - middle(name, 'idle_bytes')) / 1e6:.0f} MB",
        ]
        for name, ratio in ratios.items()
    ]
    coarse = median(one["simulator_20m"]["seconds"] / one["simulator"]["seconds"] for one in rounds)
    peak = max(_above_idle(one) for scenarios in rounds for one in scenarios.values())
    targets = [
        ["twin's timing over bare decode", "≤ 1.05", f"{ratios['twin']:.3f}"],
        ["simulator computing over bare decode", "≤ 1.5", f"{ratios['simulator']:.3f}"],
        ["20 m over 10 m, simulator computing", "≤ 0.35", f"{coarse:.3f}"],
        *(
            [f"{_SCENARIOS[name]}, over bare decode", target, f"{ratios[name]:.3f}"]
            for name, target in _TARGETS_OF_FAST.items()
            if name in ratios  # not in figures of before the fast decode
        ),
        *(_fast_terms(rounds) if "decode_fast" in ratios else ()),
        ["peak memory above the idle process", "≤ 700 MB", f"{peak:.0f} MB"],
    ]
    kinds = ("mean", "p50", "p95", "p99", "sigma", "max")
    stages = [
        [_SCENARIOS[name], stage, *(f"{timing[kind]:.2f}" for kind in kinds)]
        for name in ("twin", "simulator")
        for stage, timing in rounds[-1][name]["summary"]["stages"].items()
    ]
    header = ["scenario", "stage (ms a tile)", "mean", "P50", "P95", "P99", "sigma", "max"]
    return (
        f"A simulated scene of 10,980 x 10,980 pixels, four bands at"
        f" {results['bits_per_pixel']:.1f} bits a pixel, decoded with two threads; mask, GeoTIFF"
        f" and report unless said otherwise.\nMedians of {len(rounds)} interleaved rounds, each run"
        f" in its own process.\n\n"
        + table(["scenario", "wall", "CPU", "over bare decode", "peak above idle"], rows)
        + f"\n\n{table(['figure', 'target', 'measured'], targets)}\n\n{table(header, stages)}"
    )


def _fast_terms(rounds: Sequence[_Results]) -> Iterator[list[str]]:
    """What the fast decode saves, and what the simulator costs beside its two terms; medians."""
    shares, terms, sums, energies = [], [], [], []
    for one in rounds:
        fast, whole = one["decode_fast"]["cpu_seconds"], one["simulator_fast"]
        summary = whole["summary"]
        tiles = summary["tiles"] - summary["tiles_without_data"]
        inference = one["openvino"]["cpu_seconds"] / OPENVINO_TILES * tiles
        shares.append(fast / one["decode"]["cpu_seconds"])
        terms.append((fast, inference))
        sums.append(whole["cpu_seconds"] / (fast + inference))
        energies.append([_joules(one[name]) for name in ("twin", "twin_fast", "twin_fast_20m")])
    fast, inference = (median(term) for term in zip(*terms, strict=True))
    exact, *less = (median(joules) for joules in zip(*energies, strict=True))
    yield ["fast decode over exact decode, CPU", "≤ 0.42", f"{median(shares):.3f}"]
    terms_text = f"fast decode ({fast:.1f} s) and bare OpenVINO on its tiles ({inference:.1f} s)"
    figure = f"simulator computing, fast decode, over {terms_text}, CPU"
    yield [figure, "≤ 1.05", f"{median(sums):.3f}"]
    model = f"the twin's, and {_CORE_WATTS:g} W a busy core (an assumption)"
    figure = f"energy of a scene, {model}: exact; fast; fast at 20 m"
    yield [figure, "in proportion", f"{exact:.0f} J; {less[0]:.0f} J; {less[1]:.0f} J"]


def _joules(one: _Results) -> float:
    return float(one["summary"]["energy_joules"] + _CORE_WATTS * one["cpu_seconds"])


def _above_idle(one: _Results) -> float:
    """Megabytes."""
    return float(one["peak_bytes"] - one["idle_bytes"]) / 1e6


def _scaling(results: _Results) -> str:
    smallest, growth = results["runs"][0]["size"], results["growth"]
    rows = [
        [
            one["scenario"],
            f"{one['size']:,} x {one['size']:,}",
            f"{(one['size'] / smallest) ** 2:.0f}",
            f"{one['seconds']:.2f} s",
            f"{one['seconds'] / one['size'] ** 2 * 1e6:.3f} s",
            f"{_above_idle(one):.0f} MB",
        ]
        for one in results["runs"]
    ]
    fits = [
        [
            name,
            f"{fit['intercept']:.2f} s + {fit['slope']:.3f} s a megapixel",
            f"{fit['seconds_per_pixel_ratio']:.3f}",
            f"{fit['memory_ratio']:.2f}",
        ]
        for name, fit in results["fits"].items()
    ]
    header = ["scenario", "pixels", "times the area", "wall", "per megapixel", "peak above idle"]
    return (
        "Simulated scenes, JP2 to products, each in its own process.\nStrips have the height of"
        " the file's JPEG 2000 tiles, so memory follows the width up to a full scene, never the"
        f" height.\n\n{table(header, rows)}\n\n"
        + table(
            ["scenario", "fit", "time a pixel, largest over smallest", "memory, the same"], fits
        )
        + f"\n\n{growth['scenes']} scenes of {results['series_size']} x {results['series_size']} in"
        f" a row in one process: a scene took {growth['first_seconds']:.2f} s at first (the very"
        f" first left out) and {growth['last_seconds']:.2f} s at last"
        f" (ratio **{growth['last_seconds'] / growth['first_seconds']:.3f}**); memory after a scene"
        f" {growth['first_megabytes']:.0f} MB and {growth['last_megabytes']:.0f} MB"
        f" (**{growth['last_megabytes'] - growth['first_megabytes']:+.1f} MB**)."
    )


def _pipe(results: _Results) -> str:
    rounds, size = results["rounds"], results["size"]
    rows = [
        [
            f"{one['latency_ms']:g} ms a tile",
            f"{one['decode_seconds']:.1f} s",
            f"{one['card_seconds']:.1f} s",
            f"{one['seconds']:.1f} s",
            f"{one['share']:.3f}",
            f"{one['decode_cpu_seconds'] / one['cpu_seconds']:.3f}",
        ]
        for one in rounds
    ]
    shares = ", ".join(
        f"**{median(one['share'] for one in runs):.3f}** at {latency_ms:g} ms"
        for latency_ms, runs in groupby(rounds, key=lambda one: one["latency_ms"])
    )
    header = ["twin", "decode alone", "card busy", "end to end", "share", "CPU share"]
    return (
        f"Ten scenes of {size:,} x {size:,} in a row, JP2 to products; the decode of each begins"
        " while the previous one is computed.\nThe share is the slower stage's time over the"
        f" whole's (target ≥ 0.97): {shares} (median).\nThe time of decoding alone is that of two"
        " scenes before and two after, for ten; its share of the CPU time shows what the rest"
        f" costs, whatever else the machine does.\n\n{table(header, rows)}"
    )


def _peers(results: _Results) -> str:
    peers = results["peers"]
    seconds = {
        (one["name"], one["ground_sample_distance"]): one["usage"]["seconds"]
        for one in peers
        if one.get("usage")
    }
    theirs = seconds.get((_TEACHER, 10))
    ratios = [
        [f"{_TEACHER} at 10 m over flightsw at {distance} m, {ours}", target,
         f"{theirs / seconds[name, distance]:.2f}"]
        for name, (ours, targets) in _OURS.items()
        for distance, target in targets.items()
        if theirs and (name, distance) in seconds
    ]  # fmt: skip
    header = ["software", "licence", "at", "wall", "over flightsw, simulator", "peak memory"]
    rows = [_peer(one, seconds.get((OURS, one["ground_sample_distance"]))) for one in peers]
    return (
        "Each in its own process, two threads, four bands; timing begins when libraries and models"
        " are loaded.\n`ukis-csmask` gets whole bands in reflectance through its own API.\n\n"
        f"{table(header, rows)}\n\n{table(['figure', 'target', 'measured'], ratios)}"
    )


def _peer(peer: _Results, ours: float | None) -> list[str]:
    start = [peer["title"], peer["licence"], f"{peer['ground_sample_distance']} m"]
    usage = peer.get("usage")
    if not usage:
        return [*start, f"absent: {peer['absent']}", "-", "-"]
    ratio = f"{number(usage['seconds'] / ours)} x" if ours else "-"
    return [*start, f"{usage['seconds']:.1f} s", ratio, f"{usage['peak_bytes'] / 1e6:,.0f} MB"]


def _report(results: _Results) -> str:
    """A report in Markdown, such as that of ``flightsw bench``, one level of headings down."""
    _title, _, report = str(results["markdown"]).partition("\n")
    return report.replace("\n## ", "\n### ")


def _card(results: _Results) -> str:
    def key(one: _Results) -> tuple[float, str, int]:
        return one["latency_ms"], one["arrangement"], one["columns"]

    rows = []
    for latency, arrangement, columns in dict.fromkeys(map(key, results["busy"])):
        runs = [one for one in results["busy"] if key(one) == (latency, arrangement, columns)]
        busy = [one["busy_share"] for one in runs]
        sigmas = [one["added_jitter_ms"] for one in runs if one["added_jitter_ms"] is not None]
        rows.append([
            f"{latency} ms a tile, {arrangement}",
            f"{columns:,}",
            f"{median(busy):.2%}",
            f"{min(busy):.1%} to {max(busy):.1%}",
            _TARGETS_OF_CARDS.get((latency, arrangement), ""),
            f"{median(one['tiles_per_second'] for one in runs):.0f} tiles/s",
            f"{median(sigmas):.3f} ms ({min(sigmas):.3f} to {max(sigmas):.3f})" if sigmas else "-",
        ])  # fmt: skip
    header = ["twin", "columns of a strip", "card busy", "least to most", "target", "throughput"]
    return (
        "A full scene from memory (strips already decoded) through the twin, in turn; medians.\nIn"
        " panels of 2,048 columns, as most scenes come, and over the whole width.\nWhat the"
        " software adds to the card's cadence are its pauses between two frames; the jitter is"
        " the sigma of these, a tile.\n\n"
        + table([*header, "jitter added (target ≤ 0.05 ms)"], rows)
        + "\n\nSimulator against bare OpenVINO, same INT8 graph, two threads, alternating rounds:"
        " {simulator_ms:.2f} ms against {openvino_ms:.2f} ms a tile, ratio **{ratio:.3f}**"
        " (target ≤ 1.1).".format_map(results["overhead"])
    )


def _accuracy(results: _Results) -> str:
    return _figures(_ACCURACY, results | {"f2_difference": results["f2_int8"] - results["f2_fp32"]})


def _fast_masks(results: _Results) -> str:
    rows = [
        [one["set"], str(one["images"]), f"{one['pixels']:,}", f"{one['agreement']:.2%}",
         f"{one['worst_image']:.2%}", f"{one['contaminated']:.2%}", f"{_shift(one):+.2%}"]
        for one in results["sets"]
    ]  # fmt: skip
    real = [one for one in results["sets"] if one["set"] != "simulated"]
    agreements = [one["agreement"] for one in real]
    figures = [
        ["agreement with the mask of the exact decode, mean of the sets of real images; worst set",
         "≥ 99.5 %; ≥ 99.2 %", f"{mean(agreements):.2%}; {min(agreements):.2%}"],
        ["cloud fraction of a set of real images, fast less exact, largest", "± 0.2 %",
         f"{max(map(_shift, real), key=abs):+.2%}"],
        *_changes(results["labelled"]),
    ]  # fmt: skip
    header = ["set", "images", "pixels", "agreement", "worst image", "contaminated"]
    return (
        "Each image coded as a band of a product at 10 m, decoded with `fast`, and its mask in INT8"
        " beside that of its own pixels; `simulated` has its truth, the others are real.\n\n"
        f"{table([*header, 'fast less exact'], rows)}\n\n"
        f"{table(['figure', 'target', 'measured'], figures)}"
    )


def _changes(labelled: Sequence[_Results]) -> Iterator[list[str]]:
    """Of the figures of labelled images."""
    for key, title in (("f2", "F2"), ("balanced_accuracy", "BOA"), ("iou", "IoU")):
        changes = [one[key] for one in labelled]
        figure = f"{title} of {len(labelled)} labelled images, fast less exact, mean; largest"
        yield [figure, "± 0.003", f"{mean(changes):+.4f}; {max(changes, key=abs):+.4f}"]


def _shift(one: _Results) -> float:
    return float(one["contaminated_fast"] - one["contaminated"])


def _service(results: _Results) -> str:
    answers = ", ".join(f"{count} {code}" for code, count in results["flood_answers"].items())
    return (
        "One daemon in its own process, encrypted links, client in another process; the two"
        " cores decode and compute meanwhile.\n\n"
        f"{_figures(_SERVICE, results)}\n\nThe flood's answers: {answers}."
    )


def _dashboard(results: _Results) -> str:
    archive = results["archive"]
    queries = [
        (f"a plot request of {name} by HTTP, median; max of {archive['requests']}", "≤ 300 ms",
         f"{took['median']:.1f} ms; {took['max']:.1f} ms")
        for name, took in archive["milliseconds"].items()
    ]  # fmt: skip
    return (
        f"The service's own housekeeping at 10 Hz for {results['minutes']:g} minutes, encrypted,"
        " through `groundsim dashboard` to the overview in Chromium without a window and without a"
        f" GPU.\nThe plot requests go to an archive of {archive['days']} days of 50 values at 1 Hz,"
        f" {archive['bytes'] / 1e9:.1f} GB.\n\n" + _figures([*_DASHBOARD, *queries], results)
    )


_SECTIONS: Final[dict[str, tuple[str, Callable[[_Results], str]]]] = {
    "chain": ("A full scene, JP2 to products", _chain),
    "scaling": ("Larger scenes, and many of them", _scaling),
    "pipe": ("Two scenes in the pipe", _pipe),
    "peers": ("The same scene through other software", _peers),
    "engines": ("The engines, by the reference protocol", _report),
    "card": ("How busy the card is kept", _card),
    "accuracy": ("The mask", _accuracy),
    "fast_masks": ("Masks of the fast decode", _fast_masks),
    "service": ("The flight service", _service),
    "dashboard": ("The dashboard", _dashboard),
    "dashboard_endurance": ("The dashboard, ten minutes of 50 values (measured once)", _report),
}
