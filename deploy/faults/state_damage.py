"""Damage to the files of a state: what the next start makes of it.

The judgement is made from outside: the rows before the damage against those after it, and what the
loss says.  A difference that the loss does not name is silent, and must never be.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.faults.history import Contents, History, contents_of
from flightsw.state import StateFile, StateLoss
from flightsw.state.file import COPY_FILE, MARK_FILE, STATE_FILE

SILENT: Final = "silently wrong"
OUTCOMES: Final = ("unharmed", "restored exactly", "loss named", SILENT, "did not open")

_LOG: Final = f"{STATE_FILE}-wal"
_SECTOR, _PAGE = 512, 4096
_WEIGHTS: Final = {STATE_FILE: 60, _LOG: 25, COPY_FILE: 10, MARK_FILE: 5}


def _bit(content: bytearray, choice: random.Random, _before: bytes) -> None:
    content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)


def _bits(content: bytearray, choice: random.Random, before: bytes) -> None:
    for _ in range(choice.randint(2, 30)):
        _bit(content, choice, before)


def _byte(content: bytearray, choice: random.Random, _before: bytes) -> None:
    content[choice.randrange(len(content))] = choice.randrange(256)


def _sector(content: bytearray, choice: random.Random, _before: bytes) -> None:
    at = choice.randrange(0, len(content), _SECTOR)
    filling = choice.choice((bytes(_SECTOR), b"\xff" * _SECTOR, choice.randbytes(_SECTOR)))
    size = len(content[at : at + _SECTOR])
    content[at : at + size] = filling[:size]


def _stale(content: bytearray, choice: random.Random, before: bytes) -> None:
    """A write that never reached the medium: a sector, a page or several as they were before."""
    size = choice.choice((_SECTOR, _PAGE, 4 * _PAGE))
    at = choice.randrange(0, len(content), size)
    old = before[at : min(at + size, len(content))]
    content[at : at + len(old)] = old


def _misplaced(content: bytearray, choice: random.Random, _before: bytes) -> None:
    """A write that went to another place."""
    size = choice.choice((_SECTOR, _PAGE))
    source, at = (choice.randrange(0, len(content), size) for _ in range(2))
    moved = content[source : source + size][: len(content) - at]
    content[at : at + len(moved)] = moved


def _cut(content: bytearray, choice: random.Random, _before: bytes) -> None:
    del content[choice.randrange(len(content)) :]


def _empty(content: bytearray, _choice: random.Random, _before: bytes) -> None:
    content.clear()


_Damage = Callable[[bytearray, random.Random, bytes], None]
DAMAGES: Final[Mapping[str, _Damage | None]] = {
    "one bit": _bit,
    "several bits": _bits,
    "one byte": _byte,
    "a sector": _sector,
    "a stale sector or page": _stale,
    "a misplaced sector or page": _misplaced,
    "a file cut short": _cut,
    "a file emptied": _empty,
    "a file gone": None,
}


def damage_once(history: History, folder: Path, seed: int) -> dict[str, str]:
    """Damage one file of a copy in ``folder``, start, and judge; the same again for a seed."""
    choice = random.Random(seed)
    state_dir = folder / "state"
    shutil.rmtree(state_dir, ignore_errors=True)
    shutil.copytree(history.folder, state_dir)
    present = [name for name in _WEIGHTS if (state_dir / name).exists()]
    name = choice.choices(present, [_WEIGHTS[one] for one in present])[0]
    kind = choice.choices(list(DAMAGES), [30, 10, 10, 15, 10, 10, 10, 2, 3])[0]
    _apply(DAMAGES[kind], state_dir / name, history.before / name, choice)
    outcome, detail = _start(history, state_dir)
    return {
        "ending": history.ending, "file": name, "damage": kind, "outcome": outcome, "detail": detail
    }  # fmt: skip


def _apply(damage: _Damage | None, path: Path, before: Path, choice: random.Random) -> None:
    if damage is None:
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    damage(content, choice, before.read_bytes() if before.exists() else b"")
    path.write_bytes(content)


def _start(history: History, state_dir: Path) -> tuple[str, str]:
    try:
        with StateFile(state_dir) as state:
            loss, found = state.loss, contents_of(state)
            state.set_fact("written.afterwards", b"1")
            state.set_fact("written.afterwards", None)
        with StateFile(state_dir) as state:
            if contents_of(state) != found or state.loss != loss:
                return SILENT, "the second start found something else"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return "did not open", f"{type(error).__name__}: {error}"
    wrong = unnamed_differences(history, found, loss)
    if wrong:
        return SILENT, wrong
    if loss is None:
        return "unharmed", ""
    return ("restored exactly" if loss.nothing else "loss named"), loss.as_text()


def unnamed_differences(history: History, found: Contents, loss: StateLoss | None) -> str:
    """The first difference from what was there that the loss does not name; empty: none."""
    loss = loss or StateLoss("")
    for name, before in history.contents.items():
        now = found[name]
        if invented := set(now.values()) - history.written[name]:
            return f"{name} holds what was never written: {next(iter(invented))}"
        if name in loss.unsure:
            continue
        other = {key for key, row in now.items() if before.get(key) != row}
        gone = before.keys() - now.keys()
        if other - set(loss.older.get(name, ())) or len(gone | other) > loss.lost.get(name, 0):
            return f"{name} differs: {len(gone)} rows are gone, {len(other)} are other ones"
    return ""


def totals(results: list[dict[str, str]]) -> str:
    """A Markdown table of outcomes by damage."""
    counts = Counter((one["damage"], one["outcome"]) for one in results)
    lines = [f"| damage | {' | '.join(OUTCOMES)} |", "|---|" + "---:|" * len(OUTCOMES)]
    for kind in (*DAMAGES, "all"):
        numbers = [
            sum(
                n
                for (one, outcome), n in counts.items()
                if outcome == column and kind in (one, "all")
            )
            for column in OUTCOMES
        ]
        lines.append(f"| {kind} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)
