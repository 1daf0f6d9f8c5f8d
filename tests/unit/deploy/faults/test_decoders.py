from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.faults.decoders import DECODERS, REFUSALS

_MUTATIONS = 60


def _mutations(examples: list[bytes], count: int) -> Iterator[bytes]:
    draw = random.Random(1)
    for _ in range(count):
        content = bytearray(draw.choice(examples))
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(content) + 1)
            content[place : place + draw.randint(0, 4)] = draw.randbytes(draw.randint(0, 4))
        yield bytes(content)


@pytest.mark.parametrize("name", DECODERS)
def test_examples_are_read_and_what_was_changed_in_them_is_read_or_refused(
    name: str, tmp_path: Path
) -> None:
    decoder = DECODERS[name]
    made, own = tmp_path / "made", tmp_path / "own"
    made.mkdir()
    own.mkdir()
    examples = list(decoder.examples(made))
    assert examples
    for example in examples:
        decoder.decode(example, own)
    for content in (b"", b"\xff\xfe", b'"\xb8"', b"[" * 500, *_mutations(examples, _MUTATIONS)):
        with suppress(*REFUSALS):  # and nothing else
            decoder.decode(content, own)
