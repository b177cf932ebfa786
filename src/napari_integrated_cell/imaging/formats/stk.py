"""Stacks that MetaMorph writes (STK): tags for the first plane, and the others behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.plain_tiff import unnamed_planes
from napari_integrated_cell.imaging.formats.planes import counted, planes_in_one_piece, planes_of_pages
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import StatedSize, stated_size
from napari_integrated_cell.imaging.formats.tiff_pages import Page

_TAGS = (33628, 33629, 33630, 33631)  # UIC1 to UIC4
# Two distances that differ by less are one.
_SAME = 1e-3


@dataclass(frozen=True)
class Stk:
    """What MetaMorph says about a file.

    Attributes
    ----------
    counts : tuple of int
        How many planes the tags UIC2, UIC3 and UIC4 are for, as far as they are there.
    facts : dict
        What tifffile finds in the tags.
    damage : str
        Why some of it cannot be used, or "".
    next : int
        Where the first thing behind the pixels of the first plane begins.
    """

    counts: tuple[int, ...]
    facts: Mapping[str, Any]
    damage: str
    next: int


def stk_of(tif: tifffile.TiffFile) -> Stk | None:
    """Return what MetaMorph says about an opened file; None if it did not write the file."""
    first: Any = tif.pages[0]
    tags = [first.tags[code] for code in _TAGS if code in first.tags]
    if not tags:
        return None
    try:
        with np.errstate(all="ignore"):
            found = tif.stk_metadata
    except Exception:  # damaged metadata make tifffile raise errors of any class
        found = None
    facts = found if isinstance(found, dict) else {}
    damage = "" if isinstance(found, dict) else "its tags of MetaMorph are not readable"
    begin = min(first.dataoffsets, default=0)
    entries = range(first.offset, first.offset + 12 * len(first.tags) + 2)
    places = [first.offset, *(t.valueoffset for t in first.tags.values() if t.valueoffset not in entries)]
    return Stk(
        tuple(int(tag.count) for tag in tags if tag.code != _TAGS[0]),
        facts,
        damage,
        min((place for place in places if place > begin), default=tif.filehandle.size),
    )


def stk_scene(path: Path, pages: Sequence[Page], said: Stk) -> ImageScene:
    """Return the scene of a stack: Z, Y, X."""
    full = [page for page in pages if not page.reduced]
    size, notes = _size(said, path.name)
    wrong = next((page.wrong for page in full if page.wrong), "" if full else "it has no planes")
    if not wrong and len({page.kind for page in full}) > 1:
        wrong = "its planes differ in size or type"
    first = full[0] if full else pages[0]
    room = (said.next - first.begin) // max(first.nbytes, 1)
    if not wrong and len(full) == 1 and not first.whole and max(said.counts, default=1) > 1:
        wrong = "its planes are compressed or in pieces, and only the first one can be found"
    if wrong:
        refusal = UnsupportedImage(f"{path.name} is damaged or cut short ({wrong}): copy or export it again.")
        return unnamed_planes(full[:1], size).refusing(refusal)
    counts = set(said.counts)
    count = min(counts, default=len(full))
    held = len(full) if len(full) > 1 else room
    alone = len(full) > 1 and counts == {1}  # each plane has tags of its own
    if not alone and (len(counts) > 1 or (count != held and not (len(full) == 1 and count < 1))):
        named = " and ".join(map(str, sorted(counts))) or "no number of planes"
        why = f"has MetaMorph metadata that name {named} of {counted(held)}"
        return _asking(path, full, max(held, 1), size, why)
    if len(full) == 1 and count < 1:
        return _asking(path, full, max(held, 1), size, f"has damaged MetaMorph metadata and {counted(held)}")
    waves = said.facts.get("Wavelengths")
    distinct = len(set(np.round(np.asarray(waves, float), 3).tolist())) if waves is not None else 1
    if distinct > 1:
        return _asking(path, full, held, size, f"has {counted(held)} of {distinct} wavelengths")
    if not alone and held > 1 and "Z" not in _step(said)[0]:
        notes = (*notes, f"{path.name} does not say what its {counted(held)} are: Z planes were assumed.")
    planes = planes_in_one_piece(first, (held,)) if len(full) == 1 else planes_of_pages(full, (held,))
    return ImageScene("Z" + first.axes, (held, *first.shape), planes.dtype, (), size, planes.array, notes)


def _asking(path: Path, full: list[Page], held: int, size: StatedSize, why: str) -> ImageScene:
    """Return a scene that refuses until axes are given."""
    first = full[0]
    planes = planes_in_one_piece(first, (held,)) if len(full) == 1 else planes_of_pages(full, (len(full),))
    shape = (*planes.where.shape[:-1], *first.shape)
    scene = ImageScene("I" + first.axes, shape, planes.dtype, (), size, planes.array)
    return scene.refusing(
        MissingInput("axes", f"{path.name} {why}: give its axes, for example ZYX, or ZC2YX for 2 channels.")
    )


def _size(said: Stk, name: str) -> tuple[StatedSize, tuple[str, ...]]:
    """Return the voxel size, and notes about what cannot be used of it."""
    facts = said.facts
    notes: tuple[str, ...] = ()
    given, problem = _step(said)
    if said.damage or problem:
        notes = (f"{name} has damaged MetaMorph metadata ({said.damage or problem}).",)
    unit = facts.get("CalibrationUnits")
    calibrated = facts.get("SpatialCalibration", 1)
    if isinstance(unit, str) and unit.strip("\0 ").casefold() in ("pixel", "pixels", "px"):
        calibrated = 0
    if calibrated:
        named = unit.strip("\0 ") if isinstance(unit, str) else ""
        for axis in "YX":
            if (value := facts.get(f"{axis}Calibration")) is not None:
                given[axis] = (value, named)
    return stated_size(given), notes


def _step(said: Stk) -> tuple[dict[str, tuple[object, str | None]], str]:
    """Return the distance of the planes, if there is one, and what is wrong with those that are stated, or ""."""
    found = said.facts.get("ZDistance")
    if found is None:
        return {}, ""
    stated = np.atleast_1d(np.asarray(found, float))
    if not np.isfinite(stated).all():
        return {}, "its Z distances are no numbers"
    if len(stated) < 2 or not stated.any():
        return {}, ""
    # MetaMorph states the distance to the plane before, which the first plane does not have, or to the first one.
    for steps in (stated, stated[1:], stated[:-1], np.diff(stated)):
        middle = float(np.median(steps))
        if middle and math.isfinite(middle) and np.allclose(steps, middle, rtol=_SAME, atol=0):
            return {"Z": (abs(middle), None)}, ""
    return {}, "its planes have different Z distances"
