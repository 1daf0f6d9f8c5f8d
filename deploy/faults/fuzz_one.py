"""``python -m deploy.faults.fuzz_one DECODER FOLDER INPUTS``: fuzz one decoder, and end."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["flightsw", "telecommands"]):
    from deploy.faults.decoders import DECODERS, REFUSALS, Decoder

_REPORTED_EVERY: Final = 1_000
_LONGEST_INPUT: Final = 16_384  # bytes
_LONGEST_SECONDS: Final = 10
_MOST_MEMORY: Final = 2_048  # MiB
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the files are small


def main(name: str, folder: Path, inputs: int) -> None:
    """Give the decoder this many inputs; ends the process."""
    decoder = DECODERS[name]
    with tempfile.TemporaryDirectory() as made:
        for number, example in enumerate(decoder.examples(Path(made))):
            (folder / "corpus" / f"example-{number}").write_bytes(example)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as own:
        one = _OneInput(decoder, folder, Path(own))
        atheris.Setup(_options(folder, inputs), one)
        atheris.Fuzz()


class _OneInput:
    """What libFuzzer calls; keeps count, as its end is not announced."""

    def __init__(self, decoder: Decoder, folder: Path, own: Path) -> None:
        self._decoder, self._folder, self._own = decoder, folder, own
        self._inputs, self._since = 0, time.process_time()

    def __call__(self, content: bytes) -> None:
        self._inputs += 1
        if self._inputs % _REPORTED_EVERY == 0:
            self._report()
        try:
            self._decoder.decode(content, self._own)
        except REFUSALS:
            return
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self._keep(content, error)

    def _report(self) -> None:
        now = time.process_time()
        line = {"inputs": _REPORTED_EVERY, "seconds": now - self._since}
        with (self._folder / "count.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._since = now

    def _keep(self, content: bytes, error: Exception) -> None:
        """One input of each place that an error came from."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
        path = self._folder / "escaped" / name
        if not path.exists():
            path.write_bytes(content)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))


def _options(folder: Path, inputs: int) -> Sequence[Any]:
    return [
        "fuzz",
        str(folder / "corpus"),
        f"-runs={inputs}",
        f"-max_len={_LONGEST_INPUT}",
        f"-timeout={_LONGEST_SECONDS}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={folder / 'escaped'}/",
        "-print_final_stats=0",
    ]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
