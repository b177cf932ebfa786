"""The layers of a file: one for each channel, with colour, units and scale, or Labels for a segmentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_integrated_cell.imaging.choices import ReadingChoices
from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.vocabulary import recognise_channel

if TYPE_CHECKING:
    from napari_integrated_cell.imaging.reading import Image
    from napari_integrated_cell.plugin.layers.cell_layers import LayerData

_CROP_RAW_CHANNELS = ("dna", "membrane", "structure")
# Larger images stay on the disk, and are read plane by plane as they are shown.
_MOST_BYTES = 1 << 30
_MOST_OF_FREE_MEMORY = 0.25


def layers_of_file(
    path: Path,
    choices: ReadingChoices | None = None,
    *,
    channel_names: Sequence[str] | None = None,
    voxel_size: tuple[float, float, float] | None = None,
) -> tuple[list[LayerData], tuple[str, ...]]:
    """Return the layers of a file, and sentences about what was left out or is not sound.

    All time points are shown if none is chosen. Time series and large images are lazy.

    Parameters
    ----------
    channel_names, voxel_size : optional
        Instead of the file's, as in :func:`~napari_integrated_cell.imaging.reading.read_image`.

    Raises
    ------
    ValueError, OSError
        If the file is no readable stack.
    """
    from napari_integrated_cell.imaging.formats.damage import one_sentence_about
    from napari_integrated_cell.imaging.reading import read_image
    from napari_integrated_cell.imaging.stacks import computed

    choices = choices or ReadingChoices()
    image = read_image(
        path,
        channel_names=channel_names,
        voxel_size=voxel_size,
        scene=choices.scene,
        time=choices.time,
        axes=choices.axes,
        reader=choices.reader,
        lazy=True,
        series=choices.time is None,
    )
    if channel_names is None:
        image = _with_known_layout(image, path)
    most = min(_MOST_BYTES, _MOST_OF_FREE_MEMORY * psutil.virtual_memory().available)
    if image.data.ndim < 5 and image.data.nbytes <= most:
        with one_sentence_about(path):
            image = replace(image, data=computed(image.data))
    name = name_of_file(path)
    if choices.time is not None:
        name += f", time point {choices.time}"
    layers = [_layer(image, path, name, i) for i in range(len(image.channel_names))]
    return layers, (*image.notes, *_about_size(image, path))


def name_of_file(path: Path) -> str:
    """Return a file's name without the ending of its format."""
    from napari_integrated_cell.imaging.opening import READABLE_EXTENSIONS

    name = path.name
    ending = next((e for e in READABLE_EXTENSIONS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)] or name


def _with_known_layout(image: Image, path: Path) -> Image:
    """Give crops of the public dataset their channel names and voxel size, which the files lack."""
    from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE

    if image.voxel_size is not None:
        return image
    layouts = {"crop_seg": CROP_SEG_CHANNELS, "crop_raw": _CROP_RAW_CHANNELS}
    for beginning, names in layouts.items():
        in_its_folder = path.name.startswith(beginning) or path.parent.name == beginning
        if in_its_folder and len(image.channel_names) == len(names):
            return replace(image, channel_names=names, voxel_size=DATASET_VOXEL_SIZE)
    return image


def _about_size(image: Image, path: Path) -> tuple[str, ...]:
    """Return where to give the voxel size, if the file states nothing about it."""
    from napari_integrated_cell.imaging.reading import Image as AnyImage

    if image.voxel_size is not None or image.size_found != AnyImage.size_found:
        return ()  # what is stated but cannot be used is one of the image's own notes
    return (
        f"{path.name} {image.size_found}, so its layers are in pixels: give the size in the dock Integrate structures.",
    )


def _layer(image: Image, path: Path, name: str, index: int) -> LayerData:
    from napari_integrated_cell.imaging.labels import looks_like_labels
    from napari_integrated_cell.plugin.layers.display import channel_colormap
    from napari_integrated_cell.plugin.layers.marks import MARK

    data, channel = image.data[index], image.channel_names[index]
    alone = len(image.channel_names) == 1
    mark: dict[str, Any] = {"path": str(path), "channel": channel}
    meta: dict[str, Any] = {
        "name": name if alone else f"{channel} · {name}",
        "axis_labels": ("t", "z", "y", "x")[-data.ndim :],
        "metadata": {MARK: mark},
    }
    series = data.ndim == 4
    if image.voxel_size is not None or (series and image.interval is not None):
        time = (image.interval or 1.0,) if series else ()
        in_time = ("s" if image.interval is not None else "pixel",) if series else ()
        meta["scale"] = (*time, *(image.voxel_size or (1.0,) * 3))
        meta["units"] = (*in_time, *("µm" if image.voxel_size is not None else "pixel",) * 3)
    labels = _labels(data) if looks_like_labels(data) else None
    if labels is not None:
        # Roofs and structures would hide the outlines of the cells.
        hidden = {"roof", "struct", "structure"} & set(re.findall(r"[a-z]+", channel.lower()))
        return labels, {**meta, "visible": not hidden}, "labels"
    what = recognise_channel(channel) or (recognise_channel(name_of_file(path)) if alone else None)
    if what is not None:
        mark["shows"] = what
    meta |= {
        "colormap": channel_colormap(what) if what else "gray",
        "blending": "additive",
        "contrast_limits": _limits(data),
    }
    return data, meta, "image"


def _labels(data: Any) -> Any:
    """Return labels as a type that napari shows; None if some values are no labels after all."""
    from napari_integrated_cell.imaging.labels import checked_labels

    if data.dtype.kind == "u" and data.dtype.itemsize == 8:
        return data.astype(np.int64)
    if data.dtype.kind in "iu":
        return data
    if not is_in_memory(data):
        return data.astype(np.int64)
    try:
        return checked_labels(data, "the image")
    except ValueError:
        return None


def _limits(data: Any) -> tuple[float, float]:
    """Return contrast limits; of a lazy image they come from a few planes of the middle time point."""
    from napari_integrated_cell.imaging.stains import sample
    from napari_integrated_cell.plugin.layers.display import image_limits

    volume: NDArray[Any] = data[len(data) // 2] if data.ndim == 4 else data
    return image_limits(volume if is_in_memory(volume) else sample(volume))
