"""Voxel sizes in a TIFF file's own tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_integrated_cell.cell import SMALLEST_EDGE
from napari_integrated_cell.imaging.formats.sizes import StatedSize, micrometres, stated_size

# The values of the tag ResolutionUnit.
_UNITS = {2: "inch", 3: "cm"}


@dataclass(frozen=True)
class Resolution:
    """What the tags of the first page state: ``y`` and ``x`` are lengths in the unit; None if not stated."""

    y: float | None = None
    x: float | None = None
    unit: str | None = None

    def size(
        self, unit: str | None = None, z: object = None, z_unit: str | None = None, y_unit: str | None = None
    ) -> StatedSize:
        """Return the voxel size, with the units and Z of another source if there is one."""
        named = unit if unit is not None else self.unit or ""
        if named.strip().casefold() in ("pixel", "pixels", "px"):
            return StatedSize()
        given: dict[str, tuple[object, str | None]] = {}
        if z is not None:
            given["Z"] = (z, named if z_unit is None else z_unit)
        y, x = self.y, self.x
        if self.unit == "cm" and micrometres(named) == 1.0 and y is not None and y < SMALLEST_EDGE:
            # Micro-Manager writes "um" for ImageJ, and a resolution in cm.
            y, x = y * 1e4, None if x is None else x * 1e4
        # 1 pixel per unit is what programs write that know nothing. No cell is imaged at that size.
        if y is not None and x is not None and (y, x) != (1.0, 1.0):
            given |= {"Y": (y, named if y_unit is None else y_unit), "X": (x, named)}
        return stated_size(given)


def resolution_of(page: Any) -> Resolution:
    """Return what the tags of a page state."""
    x, y = (_length(page.tags[code].value if code in page.tags else None) for code in (282, 283))
    unit = page.tags[296].value if 296 in page.tags else None
    return Resolution(y, x, _UNITS.get(int(unit)) if isinstance(unit, int) else None)


def _length(value: Any) -> float | None:
    """Return the length of a pixel, from pixels per unit as (numerator, denominator)."""
    try:
        pixels, units = (float(v) for v in value) if isinstance(value, tuple) else (float(value), 1.0)
    except (TypeError, ValueError):
        return None
    return units / pixels if pixels > 0 and units > 0 else None
