"""Stacks that ImageJ and Fiji write."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.plain_tiff import unnamed_planes
from napari_integrated_cell.imaging.formats.planes import counted, planes_in_one_piece, planes_of_pages
from napari_integrated_cell.imaging.formats.resolution import Resolution
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import seconds
from napari_integrated_cell.imaging.formats.tiff_pages import Page

_SIGNS = re.compile(
    r"^(?:ImageJ=|SCIFIO=|images=|channels=|slices=|frames=|hyperstack=|mode=|loop=|unit=|spacing=)", re.M
)


def looks_like_imagej(text: str) -> bool:
    """Return whether a text is ImageJ's description, also if some of it is damaged."""
    return text.startswith(("ImageJ=", "SCIFIO=")) or len(set(_SIGNS.findall(text[:5000]))) >= 2


def imagej_scene(path: Path, pages: Sequence[Page], text: str, resolution: Resolution) -> ImageScene:
    """Return the scene of a stack: T, Z, C, Y, X, all planes with tags of their own or in one piece."""
    said = dict(line.split("=", 1) for line in text.strip("\0").splitlines() if "=" in line)
    size = resolution.size(said.get("unit"), said.get("spacing"), said.get("zunit"), said.get("yunit"))
    full = [page for page in pages if not page.reduced]
    first = full[0]
    wrong = next((page.wrong for page in full if page.wrong), "")
    if not wrong and len({page.kind for page in full}) > 1:
        wrong = "its planes differ in size or type"
    if wrong:
        refusal = UnsupportedImage(f"{path.name} is damaged or cut short ({wrong}): copy or export it again.")
        return unnamed_planes(full[:1], size).refusing(refusal)
    try:
        lengths = _lengths(said, first, len(full))
    except ValueError as error:
        asked = MissingInput(
            "axes",
            f"{path.name} has ImageJ metadata that do not fit its {counted(len(full))}: {error}. Export it again, or "
            "give its axes, for example ZCYX.",
        )
        images = _whole(said, "images") or 1
        scene = unnamed_planes(full, size)
        if len(full) == 1 and _fit_in_one_piece(first, images):
            planes = planes_in_one_piece(first, (images,))
            scene = replace(scene, axes="I" + first.axes, shape=(images, *first.shape), array=planes.array)
        return scene.refusing(asked, (), _whole(said, "channels"))
    order = said.get("order", "czt").lower()
    axes = order[::-1].upper() if sorted(order) == sorted("czt") else "TZC"
    shape = tuple(lengths[axis] for axis in axes)
    total = math.prod(shape)
    in_one_piece = len(full) == 1 and total > 1
    room = (path.stat().st_size - first.begin) // max(first.nbytes, 1)
    notes: tuple[str, ...] = ()
    # Tags behind the pixels take room too.
    if in_one_piece and first.offset < first.begin and room > total:
        notes = (
            f"{path.name} has ImageJ metadata that name {total} planes, and room for {room}: the last {room - total} "
            "were left out.",
        )
    planes = planes_in_one_piece(first, shape) if in_one_piece else planes_of_pages(full, shape)
    return ImageScene(
        axes + first.axes,
        (*shape, *first.shape),
        planes.dtype,
        (),
        size,
        planes.array,
        notes,
        strict=not notes,
        interval=seconds(said.get("finterval"), said.get("tunit")),
    )


def _lengths(said: dict[str, str], page: Page, count: int) -> dict[str, int]:
    """Return the lengths of T, Z and C; raise a ValueError that says what does not fit."""
    stated = {axis: _whole(said, key) for axis, key in (("C", "channels"), ("Z", "slices"), ("T", "frames"))}
    lengths = {axis: n or 1 for axis, n in stated.items()}
    images = _whole(said, "images") or 1
    if "S" in page.axes and lengths["C"] == page.shape[page.axes.index("S")]:
        lengths["C"] = 1
    total = math.prod(lengths.values())
    if total == 1 and "hyperstack" not in said and not any(n for n in stated.values()):
        total = lengths["Z"] = max(images, count)
    if images not in (1, total):
        raise ValueError(f"they name {total} and {images}")
    if total != count and not (count == 1 and _fit_in_one_piece(page, total)):
        raise ValueError(f"they name {total}")
    return lengths


def _fit_in_one_piece(page: Page, total: int) -> bool:
    return page.whole and page.begin + total * page.nbytes <= Path(page.file).stat().st_size


def _whole(said: dict[str, str], key: str) -> int | None:
    text = said.get(key, "").strip()
    # No stack has more planes than nine digits can count.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0 else None
