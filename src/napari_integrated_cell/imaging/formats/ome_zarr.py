"""Open OME-Zarr (0.1 to 0.5) in a folder or a zip file: names, sizes, levels and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.imaging.choices import UnsupportedImage
from napari_integrated_cell.imaging.formats.scene import ImageScene, OpenedFile
from napari_integrated_cell.imaging.formats.sizes import StatedSize, seconds, stated_size
from napari_integrated_cell.imaging.formats.zarr_tree import ArrayLayout, ZarrPixels, ZarrTree

_TYPES = {"time": "T", "channel": "C"}
# Before 0.3 every image had these axes, and files did not name them.
_OLD_AXES = "TCZYX"


def open_ome_zarr(path: Path) -> OpenedFile:
    """Open an OME-Zarr image. Its metadata are read, and no pixel.

    Each image of a file with several is a scene. Of the levels the one with the most pixels is read.

    Raises
    ------
    UnsupportedImage
        If it is a plate, a well, or a Zarr without an OME-Zarr image at its top. The message names an image in it.
    """
    tree = ZarrTree(path)
    found = list(_images(tree))
    if not found:
        raise UnsupportedImage(_no_image(tree))
    given = [name for name, _, _ in found]
    names = [
        name if name and given.count(name) == 1 else node or f"Image:{i}"
        for i, (name, node, _) in enumerate(found)
    ]
    return OpenedFile(path, tuple(names), lambda index: _scene(tree, found[index][1], found[index][2]))


def _images(tree: ZarrTree) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the name, the group and the multiscales of each image of the group at the top."""
    top = _ome(tree, "")
    nodes = [""]
    if not top.get("multiscales") and "bioformats2raw.layout" in top:
        # A file of several images, as bioformats2raw writes it. The group OME may list them.
        listed = _ome(tree, "OME").get("series")
        nodes = list(listed or [node for node in tree.groups() if node.isdecimal()])
    for node in nodes:
        for image in _ome(tree, node).get("multiscales") or ():
            yield str(image.get("name") or ""), node, image


def _ome(tree: ZarrTree, node: str) -> Mapping[str, Any]:
    """Return the OME attributes of a group; from 0.5 on they have an entry of their own."""
    attributes = tree.attributes(node)
    return attributes.get("ome", attributes)


def _no_image(tree: ZarrTree) -> str:
    name, top = tree.path.name, _ome(tree, "")
    image = next(_images_below(tree, ""), None)
    example = f"{name}/{image}"
    if "plate" in top or "well" in top:
        kind = "a plate of several wells" if "plate" in top else "a well of several fields"
        return f"{name} is {kind}: give one of its images" + (f", for example {example}." if image else ".")
    if image:
        return f"{name} is no OME-Zarr image, but there are images in it: give one, for example {example}."
    if tree.layout("") is not None:
        return (
            f"{name} is a Zarr array without OME metadata, so its axes are not known: save it as an OME-Zarr image or "
            "an OME-TIFF."
        )
    return f"{name} is no OME-Zarr image (it names no multiscales): save the image as OME-Zarr or OME-TIFF."


def _images_below(tree: ZarrTree, node: str, depth: int = 3) -> Iterator[str]:
    """Yield the groups below a group that are images, the nearest first by name."""
    for child in tree.groups(node):
        below = f"{node}/{child}" if node else child
        if tree.layout(below) is not None:
            continue
        if _ome(tree, below).get("multiscales"):
            yield below
        elif depth > 1:
            yield from _images_below(tree, below, depth - 1)


def _scene(tree: ZarrTree, node: str, image: Mapping[str, Any]) -> ImageScene:
    name = tree.path.name
    levels = [(dataset, _joined(node, str(dataset["path"]))) for dataset in image["datasets"]]
    layouts = [tree.layout(path) for _, path in levels]
    if not layouts or layouts[0] is None:
        missing = levels[0][1] if levels else "0"
        raise ValueError(f"its level {missing}, the one with the most pixels, is not there")
    best = max(range(len(levels)), key=lambda i: np.prod(layouts[i].shape) if layouts[i] else 0)  # type: ignore[union-attr]
    layout, (dataset, path) = layouts[best], levels[best]
    assert layout is not None
    axes = _axes(image, len(layout.shape))
    dtype = np.dtype(tree.array(path).dtype)
    # Empty chunks of a segmentation are background, and writers leave them out.
    ome = _ome(tree, node)
    channels = (ome.get("omero") or {}).get("channels") or ()
    scale = _stated_scale(image, dataset, axes)
    note = (
        "" if "image-label" in ome else _missing_note(name, axes, layout, tree.missing_chunks(path, layout))
    )
    return ImageScene(
        axes,
        layout.shape,
        dtype,
        tuple(str(channel.get("label") or "") for channel in channels),
        _size(scale),
        ZarrPixels(tree, path, layout, dtype).array,
        (note,) if note else (),
        interval=_interval(scale),
    )


def _axes(image: Mapping[str, Any], count: int) -> str:
    """Return one letter for each axis; "I" for one that is not known."""
    given = image.get("axes")
    if given is None:
        return _OLD_AXES if count == len(_OLD_AXES) else "I" * (count - 2) + "YX"
    letters = ""
    for axis in given:
        label, kind = (axis, "") if isinstance(axis, str) else (str(axis.get("name")), str(axis.get("type")))
        letter = label.upper() if label.upper() in _OLD_AXES else _TYPES.get(kind, "I")
        letters += letter if letter not in letters else "I"
    return letters if len(letters) == count else "I" * (count - 2) + "YX"


def _stated_scale(
    image: Mapping[str, Any], dataset: Mapping[str, Any], axes: str
) -> Mapping[str, tuple[float, str | None]]:
    """Return the scale of a level, times that of the whole image, and the unit of each axis; empty if not stated."""
    scale = np.ones(len(axes))
    stated = False
    for transformations in (dataset, image):
        for step in transformations.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step.get("scale") or ()) == len(axes):
                scale = scale * np.asarray(step["scale"], float)
                stated = True
    units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in image.get("axes") or axes]
    if not stated or len(units) != len(axes):
        return {}
    return {axis: (float(value), unit) for axis, value, unit in zip(axes, scale, units, strict=True)}


def _interval(given: Mapping[str, tuple[float, str | None]]) -> float | None:
    """Return the seconds between time points. Without a unit the scale along T is a writer's default."""
    value, unit = given.get("T", (0.0, None))
    return seconds(value, unit) if unit else None


def _size(given: Mapping[str, tuple[float, str | None]]) -> StatedSize:
    # Without a unit a scale of 1 is a writer's default. No cell is imaged at that size.
    if not given or all(given[axis] == (1.0, None) for axis in "YX" if axis in given):
        return StatedSize()
    spatial = {axis: pair for axis, pair in given.items() if axis in "ZYX"}
    size = stated_size(spatial)
    without = [axis for axis, (_, unit) in spatial.items() if unit is None]
    if not without:
        return size
    where = "" if len(without) == len(spatial) else f" in {' and '.join(without)}"
    return replace(size, found=f"{size.found} (without a unit{where}: µm were assumed)", unit_assumed=True)


def _missing_note(name: str, axes: str, layout: ArrayLayout, missing: NDArray[np.bool_]) -> str:
    """Return a sentence about chunks that are not there, or "".

    By the specification such a chunk has the fill value everywhere, and writers leave out empty chunks. A chunk that
    was lost looks the same, so the planes are named. Where no chunk is there, nothing was written.
    """
    if not missing.any():
        return ""
    if missing.all():
        raise UnsupportedImage(
            f"{name} holds no pixels: none of its {missing.size} chunks is there, so copy or export it again."
        )
    leading = [i for i, axis in enumerate(axes) if axis not in "YX"]
    planes: NDArray[np.bool_] = np.all(missing, axis=tuple(i for i in range(len(axes)) if i not in leading))
    for i, axis in enumerate(leading):
        planes = np.repeat(planes, layout.chunks[axis], axis=i)
    planes = planes[tuple(slice(layout.shape[axis]) for axis in leading)]
    read_as = (
        f"read as {layout.fill:g}, as the format says. If they should not be empty, copy or export it again"
    )
    if not planes.any():
        return f"{name} lacks {missing.sum()} of {missing.size} chunks. They are {read_as}."
    where = [
        f"{letter} {_ranges(np.unique(index))}"
        for letter, index, axis in zip((axes[i] for i in leading), np.nonzero(planes), leading, strict=True)
        if layout.shape[axis] > 1
    ]
    return f"{name} lacks {planes.sum()} of {planes.size} planes ({', '.join(where)}). They are {read_as}."


def _ranges(numbers: Sequence[int] | NDArray[np.int64]) -> str:
    """Return ``3-5, 9`` for 3, 4, 5 and 9; at most three ranges."""
    groups: list[list[int]] = []
    for number in map(int, numbers):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    texts = [f"{g[0]}-{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups]
    return " and ".join(texts[:3]) + (" and more" if len(texts) > 3 else "")


def _joined(node: str, name: str) -> str:
    return f"{node}/{name}" if node else name
