"""What the stored values of a raster mean: reflectance = (value + offset) / quantification."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import BadMetadata, CorruptImage, UsageError
from flightsw.scene.metadata import (
    LOWEST_OFFSET,
    OFFSET_CURE,
    USUAL_QUANTIFICATION,
    assumed_offset,
)
from flightsw.scene.reflectance import DIGITAL_NUMBERS, NO_DATA
from flightsw.scene.scene import GivenMetadata

ROUNDING: Final = 1e-6
"""Relative: float32 is right to 6e-8, and the last of 10,980 pixels moves by a hundredth."""
CONVERTED_OFFSET: Final = -1000
"""Of converted values: it leaves room for negative reflectance, as from baseline 04.00 on."""
_MEASURED_0: Final = -CONVERTED_OFFSET  # the digital number of a reflectance of 0
_HIGHEST: Final = DIGITAL_NUMBERS - 1
_LOWEST_REFLECTANCE: Final = -0.3  # below: a fill value such as -9999; Landsat's range ends at -0.2
_HIGHEST_REFLECTANCE: Final = 10.0  # above: a fill value, or a digital number without its scale
_UNTAGGED: Final = 1.0  # GDAL's scale of a file without the tag
_CURE: Final = "Write the file again, or give its scale and offset"
_SCALE_CURE: Final = (
    "Give scale if the file holds digital numbers, or nodata if that is a fill value"
)


@dataclass(frozen=True)
class StoredBand:
    """What a file says of the values of one band: reflectance = value * ``scale`` + ``offset``.

    Without tags ``scale`` is 1, ``offset`` 0, and ``no_data`` None.
    """

    path: str
    dtype: str
    scale: float
    offset: float
    no_data: float | None

    @property
    def is_float(self) -> bool:
        """Whether the values are floating-point numbers, of which NaN is no data."""
        return np.dtype(self.dtype).kind == "f"


class Description(Protocol):
    """What a document beside the file says of a band's values; ``scale`` None: nothing."""

    @property
    def scale(self) -> float | None:
        """Factor of the values."""
        ...

    @property
    def offset(self) -> float:
        """Reflectance that is added."""
        ...

    @property
    def no_data(self) -> float | None:
        """The value that has no data."""
        ...


@dataclass(frozen=True)
class Conversion:
    """Stored values of some bands to digital numbers of offset -1000 and quantification 10,000.

    Reflectance = (value + ``offsets``) / ``quantification``; ``no_data`` and NaN become 0.
    """

    path: str
    bands: tuple[str, ...]
    offsets: tuple[float, ...]
    quantification: float
    no_data: tuple[float | None, ...]

    def digital_numbers(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Convert one row, ``(bands, columns)``, to uint16 of the same shape.

        Rounded to the nearest, halves to even; a valid value becomes 1 at least.  Raises
        :class:`CorruptImage` for a reflectance below -0.3 or above 10, and for an infinite one.
        """
        stored = values.astype(np.float64)
        missing = np.isnan(stored)
        for band, no_data in enumerate(self.no_data):
            if no_data is not None:
                missing[band] |= values[band] == values.dtype.type(no_data)
        reflectance = (stored + np.array(self.offsets)[:, None]) / self.quantification
        reflectance[missing] = 0.0
        inside = (reflectance >= _LOWEST_REFLECTANCE) & (reflectance <= _HIGHEST_REFLECTANCE)
        if not inside.all():
            self._refuse(stored, reflectance, inside)
        numbers = np.rint(reflectance * USUAL_QUANTIFICATION - CONVERTED_OFFSET)
        valid: NDArray[np.uint16] = numbers.clip(NO_DATA + 1, _HIGHEST).astype(np.uint16)
        valid[missing] = NO_DATA
        return valid

    def _refuse(
        self, stored: NDArray[np.float64], reflectance: NDArray[np.float64], inside: NDArray[Any]
    ) -> None:
        band, column = np.argwhere(~inside)[0]
        cause = (
            f"holds {stored[band, column]:g} in band {self.bands[band]}, which is a reflectance of "
            f"{reflectance[band, column]:g}, not from {_LOWEST_REFLECTANCE:g} to "
            f"{_HIGHEST_REFLECTANCE:g}"
        )
        raise CorruptImage(self.path, cause, _SCALE_CURE, band=self.bands[band])


@dataclass(frozen=True)
class ValueRule:
    """What the digital numbers of a raster are, and how the stored values become them.

    Reflectance = (DN + ``offsets[band]``) / ``quantification``.  Without ``no_data`` the values are
    the digital numbers.  ``fill`` is the digital number that is no data if all bands have it.
    """

    offsets: Mapping[str, float]
    quantification: float
    stored_offsets: Mapping[str, float]
    stored_quantification: float
    no_data: Mapping[str, float | None] | None = None
    fill: int | None = None
    remarks: tuple[str, ...] = ()

    def conversion(self, path: str, bands: tuple[str, ...]) -> Conversion | None:
        """What converts the values of these bands of one file; None if nothing does."""
        if self.no_data is None:
            return None
        return Conversion(
            path,
            bands,
            tuple(self.stored_offsets[band] for band in bands),
            self.stored_quantification,
            tuple(self.no_data[band] for band in bands),
        )


def rule_of(bands: Mapping[str, StoredBand], given: GivenMetadata) -> ValueRule:
    """The rule for these bands of a scene.

    What was given replaces what the files say; both replace what is assumed.  Values of uint16
    without a mark of no data other than 0 are the digital numbers; others are converted.  Raises
    :class:`BadMetadata` and :class:`CorruptImage` for what cannot be reflectance.
    """
    _check_types(bands)
    quantification, offsets, remarks = _radiometry(bands, given)
    if given.nodata is not None:
        remarks = (*remarks, f"no data {given.nodata:g} was given and replaces the file's")
    marks = {band: _no_data(one, given) for band, one in bands.items()}
    if all(one.dtype == "uint16" and not marks[band] for band, one in bands.items()):
        return ValueRule(offsets, quantification, offsets, quantification, remarks=remarks)
    zero_is_fill = not any(marks.values()) and not any(offsets.values())
    if not zero_is_fill:
        marks = {
            band: 0.0 if mark is None and offsets[band] else mark for band, mark in marks.items()
        }
    types = ", ".join(dict.fromkeys(one.dtype for one in bands.values()))
    converted = f"{types} values are converted to digital numbers of 1/10,000 reflectance"
    return ValueRule(
        offsets=dict.fromkeys(bands, CONVERTED_OFFSET),
        quantification=USUAL_QUANTIFICATION,
        stored_offsets=offsets,
        stored_quantification=quantification,
        no_data=dict.fromkeys(bands) if zero_is_fill else marks,
        fill=_MEASURED_0 if zero_is_fill else None,
        remarks=(*remarks, converted),
    )


def checked_offset(offset: float, scale: float | None = None) -> float:
    """The offset, an int unless the scale is given too; raises :class:`UsageError`."""
    if scale is not None:
        if not -1 <= offset <= 0:
            cause = f"must be from -1 to 0 if a scale is given, got {offset:g}"
            raise UsageError("the offset", cause, "Give it in reflectance, such as -0.1 or -0.2")
        return offset
    if not LOWEST_OFFSET <= offset <= 0 or not float(offset).is_integer():
        cause = f"must be a whole number from {LOWEST_OFFSET} to 0, got {offset:g}"
        raise UsageError(
            "the offset", cause, "Give the offset -1000 or 0, or one of reflectance with its scale"
        )
    return int(offset)


def _check_types(bands: Mapping[str, StoredBand]) -> None:
    for band, one in bands.items():
        known = np.dtype(one.dtype) if not one.dtype.startswith("complex") else None
        if known is None or known.kind not in "iuf" or known.itemsize < 2:
            cause = f"has {one.dtype} values in band {band}, which cannot hold reflectance"
            raise CorruptImage(
                one.path, cause, "Write uint16, int16, int32, uint32 or float32", band=band
            )


def _radiometry(
    bands: Mapping[str, StoredBand], given: GivenMetadata
) -> tuple[float, dict[str, float], tuple[str, ...]]:
    """Quantification and offsets of the stored values, and remarks."""
    first = next(iter(bands.values()))
    if given.scale is not None:
        return _given_scale(bands, given.scale, given.offset)
    scale, *others = (one.scale for one in bands.values())
    if not 0 < scale <= 1 or any(abs(one - scale) > ROUNDING * scale for one in others):
        found = ", ".join(map(str, dict.fromkeys((scale, *others))))
        cause = f"has scale tags that do not give reflectance ({found})"
        raise BadMetadata(first.path, cause, _CURE)
    untagged = scale == _UNTAGGED
    if untagged and first.is_float:
        return _float_reflectance(bands, given.offset)
    quantification = USUAL_QUANTIFICATION if untagged else without_rounding(1 / scale)
    if given.offset is not None:
        remark = f"offset {given.offset} was given and replaces the file's"
        return quantification, dict.fromkeys(bands, given.offset), (remark,)
    if untagged:
        return _assumed(bands, given)
    return quantification, _tagged_offsets(bands, quantification), ()


def _given_scale(
    bands: Mapping[str, StoredBand], scale: float, offset: float | None
) -> tuple[float, dict[str, float], tuple[str, ...]]:
    """Radiometry of a scale that was given; the offset is then one of reflectance."""
    quantification = without_rounding(1 / scale)
    remark = f"scale {scale:g} was given and replaces the file's"
    if offset is not None:
        offsets = dict.fromkeys(bands, _number(offset * quantification))
        return quantification, offsets, (f"{remark}, with offset {offset:g}",)
    first = next(iter(bands.values()))
    tagged = any(one.offset or one.scale != _UNTAGGED for one in bands.values())
    if not tagged and not first.is_float:
        cause = "has no offset tag, so what is added to its scaled values is unknown"
        cure = "Give its offset too: 0 if nothing is added"
        raise BadMetadata(first.path, cause, cure, argument="offset")
    return quantification, _tagged_offsets(bands, quantification), (remark,)


def _float_reflectance(
    bands: Mapping[str, StoredBand], offset: float | None
) -> tuple[float, dict[str, float], tuple[str, ...]]:
    """Radiometry of floating-point numbers without a scale: they are reflectance."""
    first = next(iter(bands.values()))
    if offset:
        cause = f"holds {first.dtype} values without a scale, to which an offset in DN cannot apply"
        raise BadMetadata(first.path, cause, "Give the scale too", argument="scale")
    return 1.0, _tagged_offsets(bands, 1.0), ()


def _assumed(
    bands: Mapping[str, StoredBand], given: GivenMetadata
) -> tuple[float, dict[str, float], tuple[str, ...]]:
    """Radiometry of the settings, for integers without tags."""
    scale, offset = given.assumed.scale, given.assumed.offset
    if offset is None:
        first = next(iter(bands.values()))
        cause = "has no scale and offset tags, so its DN offset is unknown"
        cure = f"{OFFSET_CURE}; of a sensor other than Sentinel-2, give its scale and offset"
        raise BadMetadata(first.path, cause, cure, argument="offset")
    if scale is None:
        whole = int(offset)
        return USUAL_QUANTIFICATION, dict.fromkeys(bands, whole), (assumed_offset(whole),)
    quantification = without_rounding(1 / scale)
    remark = f"scale {scale:g} and offset {offset:g} of the settings are assumed"
    return quantification, dict.fromkeys(bands, _number(offset * quantification)), (remark,)


def _tagged_offsets(bands: Mapping[str, StoredBand], quantification: float) -> dict[str, float]:
    offsets: dict[str, float] = {}
    for band, one in bands.items():
        value = _number(one.offset * quantification)
        lowest = LOWEST_OFFSET / USUAL_QUANTIFICATION * quantification
        in_doubt = quantification == USUAL_QUANTIFICATION and not float(value).is_integer()
        if not lowest <= value <= 0 or in_doubt:  # not for NaN
            cause = f"has an offset tag of {one.offset:g} for band {band}, which is {value:g} DN"
            raise BadMetadata(one.path, cause, OFFSET_CURE, argument="offset", band=band)
        offsets[band] = value
    return offsets


def _no_data(band: StoredBand, given: GivenMetadata) -> float | None:
    """The value that marks no data, None if there is no mark but NaN."""
    mark, said = given.nodata, "given"
    if mark is None:
        mark, said = band.no_data, "tagged"
    if mark is None and not band.is_float:
        mark, said = given.assumed.nodata, "assumed"
    if mark is None or (band.is_float and math.isnan(mark)):
        return None
    if not _can_hold(np.dtype(band.dtype), mark):
        cause = f"has {mark:g} {said} as no data, which its {band.dtype} values cannot be"
        cure = f"Give the value of no data, {_range_of(np.dtype(band.dtype))}"
        raise BadMetadata(band.path, cause, cure, argument="nodata")
    return mark


def described(
    stored: StoredBand, said: Description, usual_offset: int | None, given: GivenMetadata
) -> tuple[StoredBand, tuple[str, ...]]:
    """The band with what another document says of its values, and remarks.

    ``usual_offset`` is in DN, for integers of which neither says anything.  Raises
    :class:`BadMetadata` if the file's tags contradict the document and nothing was given.
    """
    no_data = stored.no_data if said.no_data is None else said.no_data
    tagged = stored.scale != _UNTAGGED or stored.offset != 0
    if said.scale is None:
        if tagged or usual_offset is None or stored.is_float:
            return replace(stored, no_data=no_data), ()
        offset = usual_offset / USUAL_QUANTIFICATION
        remark = f"offset {usual_offset} follows from the product that the item describes"
        band = replace(stored, scale=1 / USUAL_QUANTIFICATION, offset=offset, no_data=no_data)
        return band, (remark,)
    agree = np.allclose((stored.scale, stored.offset), (said.scale, said.offset), rtol=ROUNDING)
    if tagged and not agree and given.offset is None:
        cause = (
            f"has scale {stored.scale:g} and offset {stored.offset:g} in its tags, but the item "
            f"says {said.scale:g} and {said.offset:g}"
        )
        cure = "Find out which is right, and give scale and offset"
        raise BadMetadata(stored.path, cause, cure, argument="scale")
    return replace(stored, scale=said.scale, offset=said.offset, no_data=no_data), ()


def _can_hold(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind == "f":
        return math.isinf(value) or abs(value) <= float(np.finfo(dtype).max)
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _range_of(dtype: np.dtype[Any]) -> str:
    known: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return f"a number from {known.min:g} to {known.max:g}"


def _number(value: float) -> float:
    """The value without rounding errors, an int if it is whole."""
    value = without_rounding(value)
    return int(value) if float(value).is_integer() else value


def without_rounding(value: float) -> float:
    """The whole number that a float32 tag, or a quotient, stands for; otherwise six decimals."""
    if math.isfinite(value) and abs(value - round(value)) <= ROUNDING * max(1.0, abs(value)):
        return float(round(value))
    return round(value, 6)
