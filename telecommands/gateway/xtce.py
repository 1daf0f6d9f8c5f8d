"""The database in XTCE 1.2 or 1.3: flat, with fields that every reader of XTCE knows.

Telemetry uses neither aggregates nor sizes inside strings, which not all readers know: the length
of a text is a parameter before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Final

from lxml import etree
from lxml.builder import ElementMaker

from telecommands.dictionary import VERSION
from telecommands.gateway.database import (
    CHECKSUM,
    PRIMARY_HEADER,
    TELEMETRY_HEADER,
    Field,
    PacketDefinition,
    telecommands,
    telemetry,
)

NAMESPACES: Final = {
    "1.2": "http://www.omg.org/spec/XTCE/20180204",
    "1.3": "http://www.omg.org/spec/XTCE/20250214",
}
SYSTEM: Final = "flightsw"

_MOST_TEXT_BITS: Final = 0xFFFF * 8
_LENGTH_BITS: Final = 16
_LEAST_INTEGER_BITS: Final = 32
_IGNORED: Final = "_yamcs_ignore"
_ACKS: Final = 15
_PUS_VERSION: Final = 2
# The stages of service 1 that verify a telecommand, and the time in which each must come.
_VERIFIERS: Final = (
    ("Accepted", "AcceptedVerifier", 1, "PT60S"),
    ("Complete", "CompleteVerifier", 7, "P1D"),
)
_ALARMS: Final = (("Warning", "warning"), ("Critical", "critical"))


def xtce(version: str, apid: int, date: datetime | None = None) -> bytes:
    """The database as a file; ``version`` is a key of :data:`NAMESPACES`."""
    moment = date or datetime.now(timezone.utc)
    writer = _Writer(version, apid)
    root = writer.system(moment.date().isoformat())
    content: bytes = etree.tostring(root, pretty_print=True, xml_declaration=True, encoding="UTF-8")
    return content


class _Writer:
    def __init__(self, version: str, apid: int) -> None:
        namespace = NAMESPACES[version]
        self._variable_needs_size = version == "1.2"
        self._e = ElementMaker(namespace=namespace, nsmap={None: namespace})
        self._apid = apid
        self._declared: set[str] = set()
        self._types = self._e.ParameterTypeSet()
        self._parameters = self._e.ParameterSet()
        self._containers = self._e.ContainerSet()
        self._argument_types = self._e.ArgumentTypeSet()
        self._commands = self._e.MetaCommandSet()

    def system(self, date: str) -> Any:
        e = self._e
        self._add_telemetry()
        self._add_telecommands()
        return e.SpaceSystem(
            e.Header(version=str(VERSION), date=date, validationStatus="Released"),
            e.TelemetryMetaData(self._types, self._parameters, self._containers),
            e.CommandMetaData(self._argument_types, self._commands),
            name=SYSTEM,
        )

    # Telemetry.

    def _add_telemetry(self) -> None:
        self._container("ccsds_packet", PRIMARY_HEADER)
        self._container("pus_report", TELEMETRY_HEADER, "ccsds_packet", {"CCSDS_APID": self._apid})
        for packet in telemetry():
            same = {"PUS_SERVICE": packet.service}
            if packet.subtype is not None:
                same["PUS_SUBTYPE"] = packet.subtype
            prefix = [field for field in packet.fields if field.fixed is not None]
            base = "pus_report"
            if prefix:
                base = f"service_{packet.service}"
                if base not in self._declared:
                    self._declared.add(base)
                    self._container(base, prefix, "pus_report", same, doc="")
                same = {field.name: field.fixed or 0 for field in prefix}
            rest = [*(field for field in packet.fields if field.fixed is None), CHECKSUM]
            self._container(packet.name, rest, base, same, packet.doc, concrete=True)

    def _container(
        self,
        name: str,
        fields: Iterable[Field],
        base: str = "",
        same: dict[str, int] | None = None,
        doc: str = "",
        *,
        concrete: bool = False,
    ) -> None:
        e = self._e
        entries = [
            e.ParameterRefEntry(parameterRef=parameter)
            for field in fields
            for parameter in self._parameters_of(field)
        ]
        container = e.SequenceContainer(
            e.EntryList(*entries), name=name, abstract="false" if concrete else "true"
        )
        if doc:
            container.set("shortDescription", doc)
        if base:
            comparisons = [
                e.Comparison(parameterRef=ref, value=str(value), useCalibratedValue="false")
                for ref, value in (same or {}).items()
            ]
            criteria = e.RestrictionCriteria(e.ComparisonList(*comparisons))
            container.append(e.BaseContainer(criteria, containerRef=base))
        self._containers.append(container)

    def _parameters_of(self, field: Field) -> Iterator[str]:
        """The names of the parameters of a field, which are declared when they first occur."""
        if field.kind in ("text", "bytes"):
            length = Field(name=f"{field.name}_length", kind="unsigned", bits=_LENGTH_BITS)
            yield from self._parameters_of(length)
        if field.name not in self._declared:
            self._declared.add(field.name)
            self._types.append(self._parameter_type(field))
            parameter = self._e.Parameter(name=field.name, parameterTypeRef=f"{field.name}_type")
            if field.doc:
                parameter.set("shortDescription", field.doc)
            self._parameters.append(parameter)
        yield field.name

    def _parameter_type(self, field: Field) -> Any:
        e, name = self._e, f"{field.name}_type"
        if field.kind == "bytes":
            size = e.SizeInBits(self._length_of(field))
            return e.BinaryParameterType(e.UnitSet(), e.BinaryDataEncoding(size), name=name)
        if field.kind == "text":
            variable = e.Variable(self._length_of(field), maxSizeInBits=str(_MOST_TEXT_BITS))
            if not self._variable_needs_size:  # 1.3 wants an end too; no text contains this one
                variable.append(e.TerminationChar("00"))
            encoding = e.StringDataEncoding(variable, encoding="UTF-8")
            return e.StringParameterType(e.UnitSet(), encoding, name=name)
        if field.kind == "choice":
            return e.EnumeratedParameterType(
                e.UnitSet(), self._integer_encoding(field), self._members(field), name=name
            )
        kind = self._number_type(field, "Parameter", name)
        alarm = self._alarm(field)
        if alarm is not None:
            kind.append(alarm)
        return kind

    def _length_of(self, field: Field) -> Any:
        e = self._e
        reference = e.ParameterInstanceRef(
            parameterRef=f"{field.name}_length", useCalibratedValue="false"
        )
        return e.DynamicValue(reference, e.LinearAdjustment(slope="8"))

    def _alarm(self, field: Field) -> Any | None:
        """The limits; a value beyond them, not at them, is outside."""
        ranges = []
        for level, prefix in _ALARMS:
            low, high = field.limits.get(f"{prefix}_low"), field.limits.get(f"{prefix}_high")
            if low is None and high is None:
                continue
            one = self._e(f"{level}Range")
            if low is not None:
                one.set("minInclusive", _real(low))
            if high is not None:
                one.set("maxInclusive", _real(high))
            ranges.append(one)
        return self._e.DefaultAlarm(self._e.StaticAlarmRanges(*ranges)) if ranges else None

    # Both.

    def _number_type(self, field: Field, role: str, name: str) -> Any:
        e = self._e
        units = e.UnitSet(*([e.Unit(field.unit)] if field.unit else []))
        if field.kind == "float":
            encoding = e.FloatDataEncoding(sizeInBits=str(field.bits))
            kind = e(f"Float{role}Type", units, encoding, name=name, sizeInBits=str(field.bits))
        else:
            # Without sizeInBits Yamcs cuts an integer to 32 bits.
            kind = e(
                f"Integer{role}Type",
                units,
                self._integer_encoding(field),
                name=name,
                signed=str(field.kind == "signed").lower(),
                sizeInBits=str(max(_LEAST_INTEGER_BITS, field.bits)),
            )
        return kind

    def _integer_encoding(self, field: Field) -> Any:
        encoding = "twosComplement" if field.kind == "signed" else "unsigned"
        return self._e.IntegerDataEncoding(sizeInBits=str(field.bits), encoding=encoding)

    def _members(self, field: Field) -> Any:
        e = self._e
        members = sorted(field.numbers.items(), key=lambda one: one[1])
        return e.EnumerationList(
            *[e.Enumeration(value=str(number), label=label) for label, number in members]
        )

    # Telecommands.

    def _add_telecommands(self) -> None:
        e = self._e
        header = (
            ("apid", 11), ("acks", 4), ("service", 8), ("subtype", 8),
        )  # fmt: skip
        for name, bits in header:
            field = Field(name=name, kind="unsigned", bits=bits)
            self._argument_types.append(self._number_type(field, "Argument", f"{name}_argument"))
        if self._variable_needs_size:
            self._ignored_parameter()
        entries = [
            _bits(e, "version", 3, 0), _bits(e, "type", 1, 1), _bits(e, "secondary_header", 1, 1),
            e.ArgumentRefEntry(argumentRef="apid"),
            _bits(e, "sequence_flags", 2, 3), _bits(e, "sequence_count", 14, 0),
            _bits(e, "length", 16, 0), _bits(e, "pus_version", 4, _PUS_VERSION),
            e.ArgumentRefEntry(argumentRef="acks"), e.ArgumentRefEntry(argumentRef="service"),
            e.ArgumentRefEntry(argumentRef="subtype"), _bits(e, "source", 16, 0),
        ]  # fmt: skip
        arguments = [
            e.Argument(name=name, argumentTypeRef=f"{name}_argument") for name, _ in header
        ]
        container = e.CommandContainer(e.EntryList(*entries), name="pus_request_container")
        self._commands.append(
            e.MetaCommand(
                e.ArgumentList(*arguments),
                container,
                self._verifiers(),
                name="pus_request",
                abstract="true",
            )
        )
        for packet in telecommands():
            self._commands.append(self._command(packet))

    def _command(self, packet: PacketDefinition) -> Any:
        e = self._e
        assigned = {
            "apid": self._apid, "acks": _ACKS, "service": packet.service,
            "subtype": packet.subtype or 0,
        }  # fmt: skip
        assignments = [
            e.ArgumentAssignment(argumentName=name, argumentValue=str(value))
            for name, value in assigned.items()
        ]
        command = e.MetaCommand(name=packet.name, shortDescription=packet.doc)
        command.append(
            e.BaseMetaCommand(e.ArgumentAssignmentList(*assignments), metaCommandRef="pus_request")
        )
        chosen = [field for field in packet.fields if field.fixed is None]
        arguments = []
        for field in chosen:
            self._argument_types.append(self._argument_type(packet, field))
            argument = e.Argument(
                name=field.name, argumentTypeRef=f"{packet.name}_{field.name}_argument"
            )
            if field.doc:
                argument.set("shortDescription", field.doc)
            if field.initial is not None:
                argument.set("initialValue", _as_text(field.initial))
            arguments.append(argument)
        if arguments:
            command.append(e.ArgumentList(*arguments))
        entries = [
            e.ArgumentRefEntry(argumentRef=field.name)
            if field.fixed is None
            else _bits(e, field.name, field.bits, field.fixed)
            for field in packet.fields
        ]
        base = e.BaseContainer(containerRef="pus_request_container")
        command.append(
            e.CommandContainer(e.EntryList(*entries), base, name=f"{packet.name}_container")
        )
        if packet.hazardous:
            command.append(
                e.DefaultSignificance(
                    consequenceLevel="critical",
                    reasonForWarning="hazardous: sent only if the gateway has --hazardous",
                )
            )
        return command

    def _argument_type(self, packet: PacketDefinition, field: Field) -> Any:
        e, name = self._e, f"{packet.name}_{field.name}_argument"
        if field.kind == "choice":
            return e.EnumeratedArgumentType(
                e.UnitSet(), self._integer_encoding(field), self._members(field), name=name
            )
        if field.kind == "text":
            variable = e.Variable(maxSizeInBits=str(_MOST_TEXT_BITS))
            if self._variable_needs_size:
                variable.append(e.DynamicValue(e.ParameterInstanceRef(parameterRef=_IGNORED)))
            variable.append(e.LeadingSize(sizeInBitsOfSizeTag=str(_LENGTH_BITS)))
            encoding = e.StringDataEncoding(variable, encoding="UTF-8")
            return e.StringArgumentType(e.UnitSet(), encoding, name=name)
        kind = self._number_type(field, "Argument", name)
        if field.low is not None or field.high is not None:
            valid = e.ValidRange()
            written = _real if field.kind == "float" else str
            if field.low is not None:
                valid.set("minInclusive", written(field.low))
            if field.high is not None:
                valid.set("maxInclusive", written(field.high))
            kind.append(e.ValidRangeSet(valid))
        return kind

    def _ignored_parameter(self) -> None:
        """What the schema 1.2 wants for the length of a text that has it before it.

        Yamcs knows the name as "no parameter"; it exists, so that the reference can be resolved.
        """
        list(self._parameters_of(Field(name=_IGNORED, kind="unsigned", bits=_LENGTH_BITS)))

    def _verifiers(self) -> Any:
        """Stages of service 1, by the verifier that Yamcs has for them."""
        e = self._e
        inputs = (
            ("/yamcs/cmd/arg/apid", "sent_apid"),
            ("/yamcs/cmdHist/ccsds-seqcount", "sent_count"),
            ("REQUEST_APID", "apid"),
            ("REQUEST_SEQUENCE_COUNT", "count"),
            ("REPORT", "report"),
            ("tc_cause", "cause"),
            ("tc_code", "code"),
        )
        verifiers = e.VerifierSet()
        for name, element, stage, window in _VERIFIERS:
            references = [
                e.InputParameterInstanceRef(parameterRef=reference, inputName=alias)
                for reference, alias in inputs
            ]
            text = (
                f'org.yamcs.pus.Pus1Verifier({{stage: {stage}, template: "{{code}}: {{cause}}"}})'
            )
            algorithm = e.CustomAlgorithm(
                e.AlgorithmText(text, language="Java"), e.InputSet(*references), name=name
            )
            check = e.CheckWindow(
                timeToStopChecking=window, timeWindowIsRelativeTo="commandRelease"
            )
            verifiers.append(e(element, algorithm, check, name=name))
        return verifiers


def _bits(e: ElementMaker, name: str, bits: int, value: int) -> Any:
    digits = -(-bits // 8) * 2
    return e.FixedValueEntry(name=name, binaryValue=f"{value:0{digits}X}", sizeInBits=str(bits))


def _real(value: float) -> str:
    return f"{value:.17g}"


def _as_text(value: Any) -> str:
    """An initial value; not a number is NaN in XML Schema, as in Java."""
    return "NaN" if value != value else str(value)  # noqa: PLR0124 - NaN differs from itself
