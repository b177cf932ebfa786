"""Stacks that Micro-Manager writes: what its summary, its index and the tags of its planes say."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tifffile

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.formats.ome_tiff import scenes_of
from napari_integrated_cell.imaging.formats.ome_xml import OmeImage, OmeXml, PlaneBlock
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import StatedSize, seconds, stated_size
from napari_integrated_cell.imaging.formats.tiff_pages import Page

_TAG = 51123
_INDEX_MARK, _SUMMARY_MARK = 54773648, 2355492
_COUNTS = {"C": "Channels", "Z": "Slices", "T": "Frames", "P": "Positions"}
_INDICES = {"C": "ChannelIndex", "Z": "SliceIndex", "T": "FrameIndex", "P": "PositionIndex"}
_PIXEL_SIZE = ("PixelSizeUm", "PixelSize_um")

#: Channel, Z plane, time point and position of one page.
Position = tuple[int, int, int, int]


@dataclass(frozen=True)
class MicroManager:
    """What Micro-Manager says about a file.

    Attributes
    ----------
    stated : dict of str to int
        The lengths of C, Z, T and P in the summary; only sound ones.
    order : str
        The axes of the planes, fastest first, as the summary states them; or "".
    names : tuple of str
        Of the channels.
    physical : dict of str to (number, unit)
    interval : (number, unit)
    positions : tuple of Position
        One for each page of the file; none if not all are known.
    labels : dict of int to str
        The names of the positions.
    damage : str
        Why the summary cannot be used, or "".
    """

    stated: Mapping[str, int]
    order: str
    names: tuple[str, ...]
    physical: Mapping[str, tuple[object, str | None]]
    interval: tuple[object, str | None]
    width: int | None
    height: int | None
    positions: tuple[Position, ...]
    labels: Mapping[int, str]
    notes: tuple[str, ...]
    damage: str


def micromanager_of(tif: tifffile.TiffFile, pages: Sequence[Page], path: Path) -> MicroManager | None:
    """Return what Micro-Manager says about an opened file; None if it did not write the file."""
    first: Any = tif.pages[0]
    index_mark, index_at, summary_mark = _header(tif)
    # Any of them tells the program, also if one is damaged.
    if _TAG not in first.tags and index_mark != _INDEX_MARK and summary_mark != _SUMMARY_MARK:
        return None
    try:
        found = tifffile.tifffile.read_micromanager_metadata(tif.filehandle)
    except Exception:  # damaged metadata make tifffile raise errors of any class
        found = {}
    summary = found.get("Summary")
    damage = "" if isinstance(summary, dict) else "their summary is missing or not readable"
    summary = summary if isinstance(summary, dict) else {}
    tag = _tag(first)
    index = found.get("IndexMap")
    # The summary stands before the first page, the index behind the last.
    end = index_at if index_mark == _INDEX_MARK and index_at > pages[0].offset else tif.filehandle.size
    own = index_mark == _INDEX_MARK or summary_mark == _SUMMARY_MARK  # and no copy that another program wrote
    if own and any(page.begin < pages[0].offset or page.end > end for page in pages):
        raise ValueError("the pixels of a plane lie where Micro-Manager's summary or index is")
    positions = _in_index(index, pages) or _in_tags(tif, len(pages))
    physical: dict[str, tuple[object, str | None]] = {}
    notes: tuple[str, ...] = ()
    step = summary.get("z-step_um")
    number = _number(step)
    if number is not None and number < 0:
        notes = (f"{path.name} states a Z step of {number:g} µm: its planes go the other way.",)
        step = abs(number)
    if step is not None:
        physical["Z"] = (step, None)
    sizes = [source[key] for source in (summary, tag) for key in _PIXEL_SIZE if key in source]
    pixel = next((size for size in sizes if (_number(size) or 0) > 0), sizes[0] if sizes else None)
    if pixel is not None:
        physical |= {"Y": (pixel, None), "X": (pixel, None)}
    return MicroManager(
        {axis: n for axis, key in _COUNTS.items() if (n := _count(summary.get(key)))},
        _order(summary),
        _names(summary) or _names_in_tags(tif, positions),
        physical,
        (summary.get("Interval_ms"), "ms"),
        _count(summary.get("Width")),
        _count(summary.get("Height")),
        positions,
        _labels(tif, positions),
        notes,
        damage,
    )


def with_micromanager(
    path: Path, pages: Sequence[Page], said: MicroManager, found: list[tuple[str, ImageScene]], kind: str
) -> list[tuple[str, ImageScene]]:
    """Return the scenes of a file that Micro-Manager wrote.

    Parameters
    ----------
    found : list of (name, ImageScene)
        What other metadata of the file say.
    kind : {"OME", "ImageJ", ""}
        Which metadata these are.
    """
    own = _scenes(path, pages, said)
    sound = all(scene.refusal is None for _, scene in own)
    refusals = [scene.refusal for _, scene in found if scene.refusal is not None]
    if kind == "OME" and any(not isinstance(refusal, MissingInput) for refusal in refusals):
        return found
    if kind == "OME" and not refusals and not (sound and _contradict(found, own)):
        return [(name, _filled(scene, said, path)) for name, scene in found]
    if sound and said.positions:
        if kind != "OME":
            return own
        note = f"{path.name} has OME metadata that do not fit its planes: those of Micro-Manager were used."
        return [(name, scene.noting(note)) for name, scene in own]
    if kind and not refusals:
        return [(name, _filled(scene, said, path)) for name, scene in found]
    return own


def _scenes(path: Path, pages: Sequence[Page], said: MicroManager) -> list[tuple[str, ImageScene]]:
    """Return one scene for each position on the stage, with the checks of OME's."""
    stages = sorted({p for _, _, _, p in said.positions}) or [0]
    notes = list(said.notes)
    lengths, problem = _counted(said)
    if problem:
        notes.append(f"{path.name} {problem}.")
    if not said.positions:
        notes.append(f"{path.name} names no page of its planes: their order was taken from its summary.")
    images = []
    for stage in stages:
        planes = [
            PlaneBlock(ifd, 1, dict(zip("CZT", where[:3], strict=True)))
            for ifd, where in enumerate(said.positions)
            if where[3] == stage
        ]
        sizes = lengths | {axis: n for axis, n in (("X", said.width), ("Y", said.height)) if n}
        # Planes that are all named can be put in any order of the axes.
        order = "CZT" if planes else said.order
        images.append(
            OmeImage(
                said.labels.get(stage, f"Position {stage}"),
                order,
                sizes,
                dict(said.physical),
                said.interval,
                [(name, 1) for name in said.names],
                planes,
            )
        )
    found = scenes_of(path, OmeXml(images=images, damage=said.damage, program="Micro-Manager"), pages)
    if len(stages) == 1:
        found = [("Image:0", found[0][1])]
    for note in notes:
        found = [(name, scene if scene.refusal else scene.noting(note)) for name, scene in found]
    return found


def _counted(said: MicroManager) -> tuple[dict[str, int], str]:
    """Return the lengths of C, Z and T, and what is wrong with the summary's, or ""."""
    stated = {axis: n for axis, n in said.stated.items() if axis in "CZT"}
    if not said.positions:
        # The summary alone counts the planes of all positions on the stage.
        return ({} if said.stated.get("P", 1) > 1 else stated), ""
    held = {axis: 1 + max(where[i] for where in said.positions) for i, axis in enumerate("CZT")}
    stages = len({p for _, _, _, p in said.positions})
    whole = len(set(said.positions)) == len(said.positions) == math.prod(held.values()) * stages
    # A series that was stopped has fewer Z planes or time points than its summary names.
    wrong = [a for a in stated if stated[a] < held[a] or (a == "C" and stated[a] != held[a])]
    if whole and wrong:
        words = {"C": "channels", "Z": "Z planes", "T": "time points"}
        listed = " and ".join(f"{stated[axis]} {words[axis]} of {held[axis]}" for axis in wrong)
        sizes = {axis: held[axis] if axis in wrong else stated.get(axis, held[axis]) for axis in "CZT"}
        return sizes, f"has a Micro-Manager summary that names {listed}: its planes were counted instead"
    return {**held, **stated}, ""


def _filled(scene: ImageScene, said: MicroManager, path: Path) -> ImageScene:
    """Return a scene with the names, sizes and interval that its own metadata lack."""
    values = dict(zip("ZYX", scene.size.values, strict=True))
    lacking = [axis for axis, value in values.items() if value is None and axis in said.physical]
    size: StatedSize = scene.size
    if lacking:
        known = {axis: (value, None) for axis, value in values.items() if value is not None}
        size = stated_size({**known, **{axis: said.physical[axis] for axis in lacking}})
    names = scene.channel_names
    if not any(names) and len(said.names) == scene.length("C"):
        names = said.names
    interval = seconds(*said.interval) if scene.interval is None else scene.interval
    scene = replace(scene, size=size, channel_names=names, interval=interval)
    if scene.refusal is not None:
        return scene
    for note in said.notes if "Z" in lacking else ():
        scene = scene.noting(note)
    if said.damage and size.voxel_size is None:
        scene = scene.noting(f"{path.name} has damaged Micro-Manager metadata ({said.damage}).")
    return scene


def _contradict(found: list[tuple[str, ImageScene]], own: list[tuple[str, ImageScene]]) -> bool:
    """Return whether two sources divide the same number of planes in different ways."""
    if len(found) != 1 or len(own) != 1:
        return False  # other files hold the other scenes
    one, other = ([scene.length(axis) for axis in "TCZ"] for scene in (found[0][1], own[0][1]))
    return one != other and math.prod(one) == math.prod(other)


def _header(tif: tifffile.TiffFile) -> tuple[int, int, int]:
    """Return the mark and the place of the index, and the mark of the summary."""
    tif.filehandle.seek(8)
    head = tif.filehandle.read(32)
    if len(head) < 32:
        return 0, 0, 0
    numbers = struct.unpack(f"{tif.byteorder}8I", head)
    return numbers[0], numbers[1], numbers[6]


def _in_index(index: Any, pages: Sequence[Page]) -> tuple[Position, ...]:
    """Return the positions of all pages as the index gives them, or none if it does not fit the pages."""
    if isinstance(index, dict):  # of an old tifffile
        columns = [index.get(key, ()) for key in ("Channel", "Slice", "Frame", "Position", "Offset")]
        index = list(zip(*columns, strict=False))
    if index is None or len(index) != len(pages):
        return ()
    known: dict[int, Position] = {int(at): (int(c), int(z), int(t), int(p)) for c, z, t, p, at in index}
    if any(page.offset not in known for page in pages):
        return ()
    return tuple(known[page.offset] for page in pages)


def _in_tags(tif: tifffile.TiffFile, count: int) -> tuple[Position, ...]:
    """Return the positions of all pages as their own tags give them, or none if one does not."""
    found: list[Position] = []
    for i in range(count):
        tag = _tag(tif.pages[i])
        where = [tag.get(key, 0 if axis == "P" else None) for axis, key in _INDICES.items()]
        c, z, t, p = (n if isinstance(n, int) and 0 <= n < 10**6 else -1 for n in where)
        if min(c, z, t, p) < 0:
            return ()
        found.append((c, z, t, p))
    return tuple(found)


def _names(summary: Mapping[str, Any]) -> tuple[str, ...]:
    names = summary.get("ChNames")
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return tuple(name.strip() for name in names)
    return ()


def _names_in_tags(tif: tifffile.TiffFile, positions: Sequence[Position]) -> tuple[str, ...]:
    """Return the names that the first plane of each channel gives; none if one gives none."""
    named: dict[int, str] = {}
    for i, (channel, *_) in enumerate(positions):
        if channel not in named:
            name = _tag(tif.pages[i]).get("Channel")
            if not isinstance(name, str) or not name.strip():
                return ()
            named[channel] = name.strip()
    return tuple(named[channel] for channel in sorted(named))


def _labels(tif: tifffile.TiffFile, positions: Sequence[Position]) -> dict[int, str]:
    """Return the names of the positions on the stage, by their numbers."""
    stages = [where[3] for where in positions]
    firsts = {stage: stages.index(stage) for stage in set(stages)}
    if len(firsts) < 2:
        return {}
    names = {stage: _tag(tif.pages[i]).get("PositionName") for stage, i in firsts.items()}
    return {stage: name for stage, name in names.items() if isinstance(name, str) and name}


def _order(summary: Mapping[str, Any]) -> str:
    """Return the axes of the planes, fastest first, or "" if the summary does not give their order."""
    letters = {"channel": "C", "z": "Z", "slice": "Z", "time": "T"}
    listed = summary.get("AxisOrder")
    if isinstance(listed, list):
        # The slowest axis comes first. Axes of length 1 may be left out.
        order = "".join(letters.get(str(axis), "") for axis in reversed(listed))
        order += "".join(axis for axis in "CZT" if axis not in order)
        return order if sorted(order) == sorted("CZT") else ""
    first = summary.get("SlicesFirst")
    if not isinstance(first, bool):
        return ""
    return "CZT" if first else "ZCT"


def _tag(page: Any) -> dict[str, Any]:
    """Return what Micro-Manager says about one page; nothing if that is damaged."""
    try:
        found = page.tags.valueof(_TAG)
    except Exception:  # damaged metadata make tifffile raise errors of any class
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: object) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6
    return value if usable and isinstance(value, int) else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
