"""Reads and checks a scenario file; errors give step, line and field."""

from __future__ import annotations

import binascii
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
import yaml
from msgspec import Meta

from telecommands.ground.errors import UsageError
from telecommands.groundsim.scenarios.conditions import Condition, check_path, references
from telecommands.groundsim.scenarios.scenario import (
    Contact,
    Fetch,
    Name,
    Scenario,
    Send,
    SendRaw,
    Step,
    WaitFor,
)

Kind = TypeVar("Kind")

_FORMAT: Final = "See docs/scenarios for the format"
_KINDS: Final[Mapping[str, type[Step]]] = {
    kind.KEY: kind for kind in (Send, SendRaw, WaitFor, Contact, Fetch)
}


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scenario: str
    given: dict[Name, str | int | float | bool] = {}
    steps: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=10_000)]


def read_scenario(path: Path, replaced: Mapping[str, Any]) -> Scenario:
    """Read and check a file; ``replaced`` replaces values under ``given``.

    Raises :class:`UsageError` with step, line and field.
    """
    content, lines = _loaded(path)
    document = _converted(content, _Document, path)
    unknown = set(replaced) - set(document.given)
    if unknown:
        cause = f"does not define {', '.join(sorted(unknown))}"
        raise UsageError(
            path, cause, f"Use a name under given: {', '.join(document.given) or 'none'}"
        )
    given = {**document.given, **replaced}
    known = set(given)
    steps = []
    for number, (raw, line) in enumerate(zip(document.steps, lines, strict=True), start=1):
        place = f"{path}: step {number} (line {line})"
        step = _step(raw, place)
        _check_references(step, known, place)
        known |= set(getattr(step, "keep", ()))
        steps.append(step)
    return Scenario(document.scenario, given, tuple(steps))


def _step(raw: Mapping[str, Any], place: str) -> Step:
    keys = [key for key in _KINDS if key in raw]
    if len(keys) > 1 or not (keys or "at" in raw):
        found = " and ".join(keys) or "no action"
        raise UsageError(place, f"has {found}", f"Give one of {', '.join(_KINDS)}")
    step = _converted(raw, _KINDS[keys[0]] if keys else Step, place)
    try:
        _check(step)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(place, f"is invalid: {error}", _FORMAT) from error
    return step


def _check(step: Step) -> None:
    if step.not_before_s < 0:
        raise ValueError("at must not be negative")
    if isinstance(step, WaitFor):
        for path, wanted in step.where.items():
            check_path(step.wait_for, path)
            if isinstance(wanted, Mapping):
                msgspec.convert(wanted, Condition)
    elif isinstance(step, SendRaw):
        try:
            assert step.frames
        except binascii.Error as error:
            raise ValueError(f"send_raw is not base64: {error}") from error
    elif isinstance(step, Contact) and step.at_least and step.fetch_to is None:
        raise ValueError("at_least needs fetch_to")


def _check_references(step: Step, known: set[str], place: str) -> None:
    missing = set(references(msgspec.to_builtins(step))) - known
    if missing:
        cause = f"uses the undefined name {', '.join(sorted(missing))}"
        raise UsageError(place, cause, "Define it under given, or keep it in an earlier step")


def _converted(value: Any, kind: type[Kind], place: object) -> Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(place, f"is invalid: {error}", _FORMAT) from error


class _Loader(yaml.SafeLoader):
    """YAML in which times stay text and duplicate keys are refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own name and form
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} occurs twice", node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _loaded(path: Path) -> tuple[Any, list[int]]:
    """The file's content, and the line of each step."""
    try:
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            content = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise UsageError(path, cause, "Give a scenario file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(path, f"is not YAML: {' '.join(str(error).split())}", _FORMAT) from error
    return content, _lines_of_steps(node)


def _lines_of_steps(document: yaml.Node | None) -> list[int]:
    if isinstance(document, yaml.MappingNode):
        for key, value in document.value:
            if key.value == "steps" and isinstance(value, yaml.SequenceNode):
                return [item.start_mark.line + 1 for item in value.value]
    return []
