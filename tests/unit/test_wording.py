"""What people read is plain technical English: pages, interface, docstrings, comments, messages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]

_BANNED: Final = {
    r"\b(?i:told|tells?|telling)\b": "report, say, state, give, show, know",
    r"\b(?i:anew)\b": "again; rebuild, reopen",
    r"\b(?i:in vain)\b": "without success; fails",
    r"\b(?i:whoever)\b": "anyone who, the caller",
    r"(?i:(?<!there\s)\b(?:is|are|was|were) no (?!data|longer|[a-z]+ than\b)[a-z]+)": "is not a",
    r"\b(?i:goes|gone|went|going) on\b": "continues, resumes",
    r"\b(?i:comes?|came|coming|brings?|brought|bringing) down\b": "is downlinked, downlinks",
    r"\b(?i:at once)\b": "immediately, at the same time",
    r"\b(?i:for ever)\b": "permanently",
    r"\b(?i:fly|flies|flew|flown|flying)\b": "activate, run, serve",
    r"(?<=\s)Where [^,.;:|]+, ": "If, When",
    r", where (?:it|that|there|this|they|nothing|nobody|no|none)\b": "if, when",
    r"\b(?i:raises?|none|error|refused|absent|except|only|even|but|also) where\b": "if, when",
    r"\bwhere (?:absent|missing|needed|possible|there (?:is|are|was|were))\b": "if, when",
}
"""Patterns of what makes a text read like a translation, and what to write instead."""

_HABITS: Final = [
    (re.compile(pattern.replace(" ", r"\s+")), instead) for pattern, instead in _BANNED.items()
]

_GENERATED: Final = {"docs/benchmarks.md", "docs/interface.md", "docs/settings.md"}
_THIS: Final = Path(__file__).relative_to(_ROOT).as_posix()  # it lists what it forbids
_ROOMS: Final = ("flightsw", "telecommands", "deploy", "docs", "tests", "systemd")


def _files(suffix: str) -> list[str]:
    """Files of the project with this suffix, but the template that docs/interface.md shows."""
    paths = [*_ROOT.glob(f"*{suffix}")]
    for room in _ROOMS:
        paths += (_ROOT / room).rglob(f"*{suffix}")
    names = {path.relative_to(_ROOT).as_posix() for path in paths}
    return sorted(names - {"deploy/documentation/interface_template.md", _THIS})


_CODE: Final = re.compile(r"``.+?``|`[^`\n]*`|\]\([^)\s]*\)|<[^>\n]*>|https?://\S+", re.DOTALL)
_FENCED: Final = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_NEXT_SENTENCE: Final = re.compile(r"(?<!e\.g)(?<!i\.e)(?<![A-Z])[.!?][)*\"]* +[(*\"\[]*[A-Z`]")
_ITEM: Final = re.compile(r"(?:[-*]|\d+\.) +")
_ENDS: Final = re.compile(r"[.!?:][)*\"_]*$")


def _habits(text: str, line: int, path: str) -> Iterator[str]:
    """``file:line: words (write: others)`` of each pattern in a text that begins at ``line``."""
    text = _CODE.sub(lambda code: "`" + "\n" * code[0].count("\n"), text)
    for pattern, instead in _HABITS:
        for found in pattern.finditer(text):
            at = line + text.count("\n", 0, found.start())
            yield f"{path}:{at}: {' '.join(found[0].split())!r} (write: {instead})"


def _prose(path: str) -> str:
    """A page after a line break, with empty lines in the place of fenced code."""
    text = (_ROOT / path).read_text("utf-8")
    return "\n" + _FENCED.sub(lambda code: "\n" * code[0].count("\n"), text)


@pytest.mark.parametrize("path", _files(".md"))
def test_a_page_is_plain_english(path: str) -> None:
    found = list(_habits(_prose(path), 0, path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", sorted({*_files(".md")} - _GENERATED))
def test_a_page_has_one_sentence_a_line(path: str) -> None:
    lines = [_CODE.sub("`x`", line.strip()) for line in _prose(path).splitlines()]
    found = []
    for number, (line, following) in enumerate(zip(lines, [*lines[1:], ""], strict=True)):
        if line.startswith("|"):
            if any(len(_NEXT_SENTENCE.findall(cell)) > 1 for cell in line.split("|")):
                found.append(f"{path}:{number}: three sentences in a cell")
        elif line and not line.startswith(("#", "!", "<")):
            if _NEXT_SENTENCE.search(_ITEM.sub("", line, count=1)):
                found.append(f"{path}:{number}: two sentences")
            continued = following and not (following[0] in "|#" or _ITEM.match(following))
            if continued and not _ENDS.search(line):
                found.append(f"{path}:{number}: a sentence is wrapped")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", _files(".py"))
def test_what_a_source_and_its_names_say_is_plain_english(path: str) -> None:
    source = (_ROOT / path).read_text("utf-8")
    texts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append((node.value, node.lineno))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            texts.append((node.name.replace("_", " "), node.lineno))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts += [(one.string, one.start[0]) for one in tokens if one.type == tokenize.COMMENT]
    found = [habit for text, line in texts for habit in _habits(text, line, path)]
    assert not found, "\n".join(found)


_SCRIPTS: Final = (".js", ".html", ".sh", ".toml", ".yaml", ".service")


@pytest.mark.parametrize("path", ["Makefile", *(one for kind in _SCRIPTS for one in _files(kind))])
def test_what_a_script_says_is_plain_english(path: str) -> None:
    found = list(_habits((_ROOT / path).read_text("utf-8"), 1, path))
    assert not found, "\n".join(found)
