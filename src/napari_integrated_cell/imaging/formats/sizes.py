"""Voxel sizes as files state them: numbers with a unit of any spelling, or nothing."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from napari_integrated_cell.cell import LARGEST_EDGE, SMALLEST_EDGE

# Units that are told apart by case (mm, Mm), then names in small letters. Values are µm.
_SYMBOLS = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9, "hm": 1e8,
    "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "μm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6,
    "fm": 1e-9, "am": 1e-12, "zm": 1e-15, "ym": 1e-18, "Å": 1e-4, "A": 1e-4, "in": 25400.0, '"': 25400.0,
    "ft": 304800.0, "yd": 914400.0, "thou": 25.4, "mil": 25.4, "μ": 1.0, "u": 1.0, "pt": 25400.0 / 72,
}  # fmt: skip
_NAMES = {
    "micron": 1.0, "micro": 1.0, "mikron": 1.0, "inch": 25400.0, "inches": 25400.0, "angstrom": 1e-4, "ångström": 1e-4,
    "ångstrom": 1e-4, "foot": 304800.0, "feet": 304800.0, "point": 25400.0 / 72, "yard": 914400.0,
}  # fmt: skip
_PREFIXES = {
    "": 1e6, "deci": 1e5, "centi": 1e4, "milli": 1e3, "micro": 1.0, "nano": 1e-3, "pico": 1e-6, "kilo": 1e9,
}  # fmt: skip
_SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "μs": 1e-6, "us": 1e-6,
    "microsecond": 1e-6, "min": 60.0, "minute": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "d": 86400.0,
    "day": 86400.0,
}  # fmt: skip
_METRES = ("meter", "metre", "mètre")

# A light microscope's voxel is not this much higher or flatter than wide.
_HIGHEST, _FLATTEST, _WIDEST = 50.0, 0.1, 4.0


def micrometres(unit: str) -> float | None:
    """Return the length of a unit in µm, or None for a unit that is not known (also for "pixel")."""
    # Java escapes the micro sign, and a wrong encoding turns it into two letters.
    text = unit.strip().strip("\0").replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u03bc", "µ")
    text = unicodedata.normalize("NFKC", text.replace("Âµ", "µ").replace("Î¼", "µ").replace("Ã…", "Å"))
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    name = text.casefold().replace("-", "").replace(" ", "").rstrip(".")
    if name in ("μm", "um", "nm", "mm", "cm"):
        return _SYMBOLS[name]
    for singular in (name, name.removesuffix("s")):
        if singular in _NAMES:
            return _NAMES[singular]
        for metre in _METRES:
            if singular.endswith(metre) and singular.removesuffix(metre) in _PREFIXES:
                return _PREFIXES[singular.removesuffix(metre)]
    return None


def seconds(number: object, unit: str | None) -> float | None:
    """Return a duration in seconds; None if it is not above 0, or its unit is not known. A unit of None is s."""
    name = unicodedata.normalize("NFKC", (unit or "s").strip().strip("\0")).casefold().rstrip(".")
    factor = _SECONDS.get(name) or _SECONDS.get(name.removesuffix("s"))
    try:
        value = float(str(number).replace(",", "."))
    except ValueError:
        return None
    return value * factor if factor and math.isfinite(value) and value > 0 else None


@dataclass(frozen=True)
class StatedSize:
    """What a file states about its voxels.

    Attributes
    ----------
    values : tuple of float or None
        (Z, Y, X) in µm; None where the file states nothing that can be used.
    found : str
        What follows the file's name in a sentence: "states 0.4 µm in Y and X but nothing in Z".
    unit_assumed : bool
        Whether a unit is missing that the format asks for.
    """

    values: tuple[float | None, float | None, float | None] = (None, None, None)
    found: str = "states no voxel size"
    unit_assumed: bool = False

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """The three edges in µm if all are stated and a microscope can have such edges, else None."""
        z, y, x = self.values
        if z is None or y is None or x is None or not _possible((z, y, x)):
            return None
        return (z, y, x)

    @property
    def doubtful(self) -> bool:
        """Whether something is stated that cannot be used, or can hardly be true."""
        z, y, x = self.values
        if z is None or y is None or x is None:
            return self.found != StatedSize.found
        return self.unit_assumed or bool(absurd((z, y, x)))


def stated_size(given: Mapping[str, tuple[object, str | None]]) -> StatedSize:
    """Return what is stated by numbers and units of the axes "Z", "Y" and "X".

    Parameters
    ----------
    given : mapping of str to (number, unit)
        Only axes about which the file says something. A number may be text. A unit of None is µm.
    """
    values: list[float | None] = []
    said: dict[str, list[str]] = {}
    for axis in "ZYX":
        number, unit = given.get(axis, (None, None))
        value, words = _stated(number, unit)
        values.append(value)
        said.setdefault(words, []).append(axis)
    z, y, x = values
    if set(said) == {"nothing"}:
        return StatedSize()
    nothing = said.pop("nothing", [])
    parts = [f"{words} in {_and(axes)}" for words, axes in said.items()]
    found = "states " + ", ".join(parts) + (f" but nothing in {_and(nothing)}" if nothing else "")
    if z is not None and y is not None and x is not None:
        found += f", which {wrong}" if (wrong := absurd((z, y, x))) else ""
    return StatedSize((z, y, x), found)


def absurd(voxel_size: tuple[float, float, float]) -> str:
    """Return what is wrong with a voxel size (Z, Y, X) in µm that no microscope has, or "" for a usual one."""
    z, y, x = voxel_size
    if not _possible(voxel_size):
        return f"lies outside {SMALLEST_EDGE:g} to {LARGEST_EDGE:g} µm"
    if max(y, x) > _WIDEST * min(y, x):
        return "differs too much between Y and X"
    if not _FLATTEST <= z / min(y, x) <= _HIGHEST:
        return "is too high or too flat in Z"
    return ""


def _possible(voxel_size: tuple[float, float, float]) -> bool:
    return all(SMALLEST_EDGE <= edge <= LARGEST_EDGE for edge in voxel_size)


def _stated(number: object, unit: str | None) -> tuple[float | None, str]:
    if number is None or number == "":
        return None, "nothing"
    try:
        value = float(str(number).replace(",", "."))
    except ValueError:
        return None, f"{str(number)[:20]!r}"
    factor = 1.0 if unit is None else micrometres(unit)
    if not math.isfinite(value) or value <= 0:
        return None, f"{value:g}"
    if factor is None:
        named = unit.strip() if unit else ""
        return None, f"{value:.4g} in " + (f"the unit {named[:20]!r}" if named else "a unit without a name")
    return value * factor, f"{value * factor:.4g} µm"


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
