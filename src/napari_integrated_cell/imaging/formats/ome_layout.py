"""Which page of which file is which plane of an OME image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_integrated_cell.imaging.formats.ome_xml import OmeImage
from napari_integrated_cell.imaging.formats.planes import counted
from napari_integrated_cell.imaging.formats.tiff_pages import Page

_WORDS = {"T": "time points", "C": "channels", "Z": "Z planes"}
# A file with more planes than this per page of it has wrong metadata. They are not even listed.
_MOST = 1000


class Unsound(ValueError):
    """The metadata do not fit the file. ``mendable``: given axes can replace them."""

    def __init__(self, why: str, mendable: bool = True) -> None:
        super().__init__(why)
        self.mendable = mendable


@dataclass(frozen=True)
class PlaneLayout:
    """The planes of one image.

    Attributes
    ----------
    axes : str
        T, C and Z, the slowest first.
    pages : list of Page
        In the order of the axes.
    names : tuple of str
        Of the channels.
    explicit : bool
        Whether the metadata give a page for every single plane.
    complete : bool
        Whether every plane is there.
    strict : bool
        Whether the metadata were used as they are.
    """

    axes: str
    shape: tuple[int, ...]
    pages: list[Page]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    explicit: bool
    complete: bool
    strict: bool


def layout_of(
    image: OmeImage,
    name_of: Callable[[str, str], str],
    pages_in: Callable[[str], Sequence[Page] | None],
    here: str,
    alone: bool,
    sound: bool,
) -> PlaneLayout:
    """Return the pages of an image's planes.

    Parameters
    ----------
    name_of : callable
        Gives the name of the file for a UUID and a name.
    pages_in : callable
        Gives the pages in a file; None if the file is missing.
    here : str
        The file that was opened.
    alone : bool
        Whether the file holds no other image.
    sound : bool
        Whether the metadata are whole. If not, a plane that is missing may be one whose entry is damaged.

    Raises
    ------
    Unsound
        If the metadata do not say which page is which plane, or planes in the middle are missing.
    """
    notes: list[str] = []
    opened = pages_in(here) or ()
    if not image.order:
        raise Unsound("they give no order of the axes")
    samples = _samples(image, opened)
    sizes = _sizes(image, [page for page in opened if not page.reduced], samples, alone, here, notes)
    axes = image.order[::-1]
    shape = tuple(sizes[axis] for axis in axes)
    count = math.prod(shape)
    if count > _MOST * max(len(opened), 1):
        raise Unsound(f"they name {'more than a million planes' if count > 10**6 else counted(count)}")
    explicit = len(image.planes) > 1 and all(block.count in (None, 1) for block in image.planes)
    table = _table(image, axes, shape, name_of, pages_in, here)
    complete = all(page is not None for page in table)
    if not complete and not sound:
        raise Unsound(f"they name {sum(page is not None for page in table)} of {counted(count)}")
    if not complete:
        table, shape = _without_missing(image, table, axes, shape, explicit, here, notes, samples)
    pages = [page for page in table if page is not None]
    if len({(page.file, page.offset) for page in pages}) < len(pages):
        raise Unsound("two planes are on one page")
    names = tuple(name for name, _ in image.channels)
    if names and len(names) != sizes["C"]:
        notes.append(
            f"{here} names {counted(len(names), 'channel')}, but counts {counted(sizes['C'], 'channel')} of "
            f"{counted(sizes['Z'])}: the names were left out."
        )
        names = ()
    elif any(names) and not all(names):
        notes.append(f"{here} gives a name to {sum(map(bool, names))} of {len(names)} channels only.")
    return PlaneLayout(axes, shape, pages, names, tuple(notes), explicit, complete, bool(image.channels))


def _samples(image: OmeImage, opened: Sequence[Page]) -> int:
    """Return how many of the image's channels one page holds: 3 in a colour picture, else 1."""
    kinds = [page for page in opened if not page.reduced]
    if not kinds:
        return 1
    stated = {samples for _, samples in image.channels}
    size = (image.sizes.get("X"), image.sizes.get("Y"))
    for page in kinds:
        if size in ((None, None), tuple(page.shape[page.axes.index(a)] for a in "XY")) and "S" in page.axes:
            per_page = page.shape[page.axes.index("S")]
            if not stated or per_page in stated:
                return per_page
    return 1


def _sizes(
    image: OmeImage, pages: Sequence[Page], samples: int, alone: bool, here: str, notes: list[str]
) -> dict[str, int]:
    """Return the lengths of T, C and Z. One that is not sound follows from the channels or the number of planes."""
    sizes = {axis: image.sizes[axis] for axis in "TCZ" if axis in image.sizes}
    if "C" in sizes:
        if sizes["C"] % samples:
            raise Unsound(f"they name {sizes['C']} channels of {samples} colours")
        sizes["C"] //= samples
    elif image.channels:
        sizes["C"] = len(image.channels)
        notes.append(f"{here} does not say how many channels it has: {sizes['C']} are named.")
    named = len(image.channels)
    if named > 1 and named != sizes.get("C", named) and named in (sizes.get("Z"), sizes.get("T")):
        raise Unsound(f"they name {named} channels but count {sizes['C']}")
    unknown = [axis for axis in "TCZ" if axis not in sizes]
    if len(unknown) == 1 and alone:
        known = math.prod(sizes.values())
        if len(pages) % known == 0 and len(pages) >= known:
            axis = unknown[0]
            sizes[axis] = len(pages) // known
            notes.append(
                f"{here} does not say how many {_WORDS[axis]} it has: its planes make {sizes[axis]}."
            )
            return sizes
    if unknown:
        raise Unsound(f"they do not give the number of {_WORDS[unknown[0]]}")
    return sizes


def _table(
    image: OmeImage,
    axes: str,
    shape: tuple[int, ...],
    name_of: Callable[[str, str], str],
    pages_in: Callable[[str], Sequence[Page] | None],
    here: str,
) -> list[Page | None]:
    """Return the page of every plane, None where there is none."""
    count = math.prod(shape)
    table: list[Page | None] = [None] * count
    filled = [False] * count
    if not image.planes:
        pages = [page for page in pages_in(here) or () if not page.reduced]
        return [*pages[:count], *table[len(pages) :]]
    missing: list[str] = []
    for block in image.planes:
        name = name_of(block.uuid, block.file)
        pages = list(pages_in(name) or ())
        if pages_in(name) is None and name not in missing:
            missing.append(name)
        start = block.ifd or 0
        begin = 0
        for axis, length in zip(axes, shape, strict=True):
            if block.first[axis] >= length:
                raise Unsound(f"they put a plane at {axis} {block.first[axis]} of {length}")
            begin = begin * length + block.first[axis]
        number = block.count or (1 if block.ifd is not None else max(len(pages), 1))
        for step in range(min(number, count - begin)):
            if filled[begin + step]:
                raise Unsound("they give two pages for one plane")
            filled[begin + step] = True
            table[begin + step] = pages[start + step] if start + step < len(pages) else None
    if missing:
        raise Unsound(f"{missing[0]}, which holds some of them, is not in the same folder", mendable=False)
    return table


def _without_missing(
    image: OmeImage,
    table: list[Page | None],
    axes: str,
    shape: tuple[int, ...],
    explicit: bool,
    here: str,
    notes: list[str],
    samples: int,
) -> tuple[list[Page | None], tuple[int, ...]]:
    """Return the table without its last Z planes or time points, where they are missing in all channels."""
    there = np.array([page is not None for page in table]).reshape(shape)
    found, promised = int(there.sum()), there.size
    long = [axis for axis, length in zip(axes, shape, strict=True) if length > 1]
    # If the metadata only count the planes, a wrong number of them moves all planes but those of the slowest axis.
    sure = explicit or sum(s for _, s in image.channels) == shape[axes.index("C")] * samples
    for axis in "TZ":
        where = axes.index(axis)
        if axis not in long or not sure or (not explicit and long[0] != axis):
            continue
        others = tuple(i for i in range(3) if i != where)
        complete = there.all(axis=others)
        kept = int(complete.argmin()) if not complete.all() else shape[where]
        if kept < 1 or (axis == "Z" and kept < 2):
            continue
        index = [slice(None)] * 3
        index[where] = slice(kept)
        if not there[tuple(index)].all():
            continue
        last = "one is" if shape[where] - kept == 1 else f"{shape[where] - kept} are"
        notes.append(
            f"{here} is incomplete: it should have {counted(promised)} and holds {found}. Of {shape[where]} "
            f"{_WORDS[axis]} the last {last} missing, and left out."
        )
        chosen = np.arange(promised).reshape(shape)[tuple(index)]
        return [table[i] for i in chosen.ravel()], chosen.shape
    raise Unsound(f"they name {counted(promised)}, of which {found} are there", mendable=not explicit)
