"""Parameters: typed, ranged, persisted; their defaults can be restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from flightsw.commanding.context import Completed, Handler, Outcome, TelecommandContext
from flightsw.state import StateFile
from telecommands.dictionary import (
    PARAMETERS,
    Code,
    GetParameter,
    Parameter,
    ParameterValue,
    ParameterValues,
    SetHousekeepingRate,
    SetParameter,
    Value,
)
from telecommands.failure import UNDECODABLE
from telecommands.refusal import Refusal

_FACT: Final = "parameter."  # prefix of the state file's facts that hold parameters


class ParameterStore:
    """The parameters of the dictionary.  Any thread may read and set them.

    Only values other than the default are kept in the state file.  A kept value that the
    dictionary no longer allows counts as absent.  ``changed`` is called with name, value and the
    key that commanded it by the thread that sets them, inside its transaction.
    """

    def __init__(
        self,
        state: StateFile,
        changed: Callable[[str, Value, str], None] = lambda _name, _value, _by: None,
    ) -> None:
        self._state = state
        self._changed = changed
        # Values read since they were last set.  Filled and emptied under the state file's lock
        # only, so that a transaction rolled back leaves no value here that is not in the file.
        self._read: dict[str, Value] = {}
        for name in PARAMETERS:
            self.value(name)

    def value(self, name: str) -> Value:
        """A parameter's value; :class:`Refusal` UNKNOWN_PARAMETER for another name.

        Touches the state file only if the parameter was set since it was last read.
        """
        value = self._read.get(name)
        if value is None:
            parameter = _parameter(name)
            with self._state.reading():
                value = self._read[name] = self._kept(name, parameter)
        return value

    def number(self, name: str) -> float:
        """A numeric parameter, in its unit."""
        value = self.value(name)
        if isinstance(value, str):
            raise TypeError(f"parameter {name} is text")
        return float(value)

    def text(self, name: str) -> str:
        """A parameter that is a choice."""
        value = self.value(name)
        if not isinstance(value, str):
            raise TypeError(f"parameter {name} is not text")
        return value

    def set(self, name: str, value: Value | None, by: str = "") -> ParameterValue:
        """Set a parameter permanently; None restores its default.

        Raises :class:`Refusal` UNKNOWN_PARAMETER or BAD_ARGUMENTS.
        """
        parameter = _parameter(name)
        new = parameter.default if value is None else _checked(name, parameter, value)
        with self._state.transaction():
            fact = None if new == parameter.default else msgspec.msgpack.encode(new)
            self._state.set_fact(_FACT + name, fact)
            self._read.pop(name, None)
            self._changed(name, new, by)
        return ParameterValue(name=name, value=new, default=parameter.default)

    def values(self, name: str = "") -> ParameterValues:
        """One parameter, or all in the dictionary's order; :class:`Refusal` UNKNOWN_PARAMETER."""
        names = (name,) if name else tuple(PARAMETERS)
        return ParameterValues(
            parameters=tuple(
                ParameterValue(name=one, value=self.value(one), default=PARAMETERS[one].default)
                for one in names
            )
        )

    def _kept(self, name: str, parameter: Parameter) -> Value:
        kept = self._state.fact(_FACT + name)
        if kept is None:
            return parameter.default
        try:
            return _checked(name, parameter, msgspec.msgpack.decode(kept, type=Value))
        except (Refusal, *UNDECODABLE):
            return parameter.default


def parameter_handlers(store: ParameterStore) -> Mapping[str, Handler]:
    """GET_PARAMETER, SET_PARAMETER and SET_HOUSEKEEPING_RATE."""

    def read(telecommand: GetParameter, _context: TelecommandContext) -> Outcome:
        return Completed(store.values(telecommand.name))

    def write(telecommand: SetParameter, context: TelecommandContext) -> Outcome:
        value = store.set(telecommand.name, telecommand.value, context.key_id)
        return Completed(ParameterValues(parameters=(value,)))

    def set_rate(telecommand: SetHousekeepingRate, context: TelecommandContext) -> Outcome:
        store.set("housekeeping.period_s", telecommand.period_s, context.key_id)
        return Completed()

    return {GetParameter.NAME: read, SetParameter.NAME: write, SetHousekeepingRate.NAME: set_rate}


def _parameter(name: str) -> Parameter:
    parameter = PARAMETERS.get(name)
    if parameter is None:
        cure = f"Choose from {', '.join(PARAMETERS)}"
        raise Refusal(Code.UNKNOWN_PARAMETER, f"{name} is not a parameter", cure)
    return parameter


def _checked(name: str, parameter: Parameter, value: Value) -> Value:
    """The value in the default's type; a whole number will do for a fraction, nothing else."""
    kind = type(parameter.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise _value_refusal(name, value, f"a {kind.__name__}")
    if parameter.choices and value not in parameter.choices:
        raise _value_refusal(name, value, f"one of {', '.join(parameter.choices)}")
    low, high = parameter.low, parameter.high
    if low is not None and high is not None and not low <= value <= high:  # type: ignore[operator]
        unit = f" {parameter.unit}" if parameter.unit else ""
        raise _value_refusal(name, value, f"{low:g} to {high:g}{unit}")
    return value


def _value_refusal(name: str, value: Value, expected: str) -> Refusal:
    cause = f"{name} cannot be {value!r:.60}"
    return Refusal(Code.BAD_ARGUMENTS, cause, f"Give {expected}")
