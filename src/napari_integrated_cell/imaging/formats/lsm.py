"""Stacks that Zeiss microscopes write as LSM: a TIFF with a small copy behind every plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tifffile

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.plain_tiff import unnamed_planes
from napari_integrated_cell.imaging.formats.planes import counted, planes_of_pages
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import StatedSize, seconds, stated_size
from napari_integrated_cell.imaging.formats.tiff_pages import Page

_TAG = 34412
#: How the metadata begin, in the two versions of the format.
LSM_MARKS = (b"\x4c\x49\x00\x03", b"\x4c\x49\x00\x04")
# Scans whose pages are planes of Y and X: stacks, time series, and both.
_STACKS = (0, 3, 6, 7)


def is_lsm(tif: tifffile.TiffFile, path: Path) -> bool:
    """Return whether an opened file is an LSM.

    Raises
    ------
    UnsupportedImage
        If it is one whose tags give wrong places of its pixels.
    """
    first: Any = tif.pages[0]
    if _TAG not in first.tags:
        return False
    if first.compression != 1:
        raise UnsupportedImage(
            f"{path.name} is a compressed LSM, and its tags do not say where its planes end: save it without "
            "compression or as OME-TIFF."
        )
    if tif.filehandle.size >= 2**32:
        raise UnsupportedImage(
            f"{path.name} is an LSM above 4 GB, and its tags cannot say where its planes are: export it as OME-TIFF."
        )
    return True


def lsm_facts(tif: tifffile.TiffFile) -> Mapping[str, Any]:
    """Return what an LSM says about itself; nothing if that is damaged."""
    try:
        found = tif.lsm_metadata
    except Exception:  # damaged metadata make tifffile raise errors of any class
        return {}
    return found if isinstance(found, dict) else {}


def lsm_scenes(path: Path, pages: Sequence[Page], said: Mapping[str, Any]) -> list[tuple[str, ImageScene]]:
    """Return one scene for each position on the stage: T, Z, and the channels, which are on one page."""
    full = [page for page in pages if not page.reduced]
    size, names = _size(said), _names(said)
    wrong = next((page.wrong for page in full if page.wrong), "" if full else "it has no planes")
    if not wrong and len({page.kind for page in full}) > 1:
        wrong = "its planes differ in size or type"
    if wrong:
        refusal = UnsupportedImage(f"{path.name} is damaged or cut short ({wrong}): copy or export it again.")
        return [("Image:0", unnamed_planes(full[:1], size).refusing(refusal))]
    try:
        times, planes, stages = _lengths(said, full)
    except ValueError as error:
        scene = unnamed_planes(full, size)
        example = scene.axes.replace("I", "Z").replace("S", "C")
        asked = MissingInput(
            "axes",
            f"{path.name} has LSM metadata that do not fit its {counted(len(full))}: {error}. Export it again, or give "
            f"its axes, for example {example}.",
        )
        return [("Image:0", scene.refusing(asked, names))]
    first, notes = full[0], []
    channels = first.shape[first.axes.index("S")] if "S" in first.axes else 1
    if names and len(names) != channels:
        notes.append(
            f"{path.name} names {counted(len(names), 'channel')} and has {channels}: the names were left out."
        )
        names = ()
    found = []
    each = times * planes
    for stage in range(stages):
        held = planes_of_pages(full[stage * each : (stage + 1) * each], (times, planes))
        scene = ImageScene(
            "TZ" + first.axes.replace("S", "C"),
            (times, planes, *first.shape),
            held.dtype,
            names,
            size,
            held.array,
            tuple(notes),
            interval=seconds(said.get("TimeIntervall"), "s"),
        )
        found.append((f"Position {stage}" if stages > 1 else "Image:0", scene))
    return found


def _lengths(said: Mapping[str, Any], full: Sequence[Page]) -> tuple[int, int, int]:
    """Return the numbers of time points, Z planes and positions; raise a ValueError that says what does not fit."""
    if not said:
        raise ValueError("they are damaged")
    first = full[0]
    for axis, key in (("X", "DimensionX"), ("Y", "DimensionY"), ("S", "DimensionChannels")):
        held = first.shape[first.axes.index(axis)] if axis in first.axes else 1
        if said.get(key) != held:
            word = {"X": "columns", "Y": "rows", "S": "channels"}[axis]
            raise ValueError(f"they name {said.get(key)} {word}, and the planes have {held}")
    if said.get("ScanType") not in _STACKS:
        raise ValueError("they name a scan along a line, not of planes")
    times, planes = (_count(said.get(key)) for key in ("DimensionTime", "DimensionZ"))
    # 0 positions are one without a name.
    stages = math.prod(_count(said.get(key) or 1) for key in ("DimensionP", "DimensionM"))
    if times * planes * stages != len(full):
        raise ValueError(f"they name {times * planes * stages}")
    return times, planes, stages


def _count(value: Any) -> int:
    number = int(value or 0)
    if not 0 < number < 10**6:
        raise ValueError(f"they name a length of {number}")
    return number


def _size(said: Mapping[str, Any]) -> StatedSize:
    given = {axis: said[f"VoxelSize{axis}"] for axis in "ZYX" if f"VoxelSize{axis}" in said}
    return stated_size({axis: (float(value), "m") for axis, value in given.items()})


def _names(said: Mapping[str, Any]) -> tuple[str, ...]:
    colours = said.get("ChannelColors")
    names = colours.get("ColorNames", []) if isinstance(colours, dict) else []
    return tuple(name.strip("\0 ") for name in names if isinstance(name, str))
