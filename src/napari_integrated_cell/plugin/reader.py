"""Reader: a file becomes one layer for each channel, with colour, units and scale, or Labels for a segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_integrated_cell.vocabulary import recognise_channel

if TYPE_CHECKING:
    from napari_integrated_cell.imaging.reading import Image
    from napari_integrated_cell.plugin.layers.cell_layers import LayerData

_ENDINGS = (".tif", ".tiff", ".czi", ".nd2", ".lif")
_CROP_RAW_CHANNELS = ("dna", "membrane", "structure")


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader for files that may be stacks, else None."""
    paths = [path] if isinstance(path, str) else list(path)
    if paths and all(str(p).lower().endswith(_ENDINGS) for p in paths):
        return read
    return None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of one file, or of several.

    Raises
    ------
    ValueError, OSError
        If a file is not a readable stack.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return [layer for p in paths for layer in _read_one(Path(p))]


def _read_one(path: Path) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    image = _with_known_layout(path)
    for note in image.notes:
        show_warning(note)
    return [_layer(image, path, i) for i in range(len(image.channel_names))]


def _with_known_layout(path: Path) -> Image:
    """Read an image. Crops of the public dataset get their channel names and voxel size, which the files lack."""
    from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE, read_image

    image = read_image(path)
    if image.voxel_size is not None:
        return image
    layouts = {"crop_seg": CROP_SEG_CHANNELS, "crop_raw": _CROP_RAW_CHANNELS}
    for beginning, names in layouts.items():
        in_its_folder = path.name.startswith(beginning) or path.parent.name == beginning
        if in_its_folder and len(image.channel_names) == len(names):
            return replace(image, channel_names=names, voxel_size=DATASET_VOXEL_SIZE)
    return image


def _layer(image: Image, path: Path, index: int) -> LayerData:
    from napari_integrated_cell.plugin.layers.display import channel_colormap, image_limits
    from napari_integrated_cell.plugin.layers.marks import MARK
    from napari_integrated_cell.plugin.layers.volumes import looks_like_segmentation

    data, channel = image.data[index], image.channel_names[index]
    alone = len(image.channel_names) == 1
    stem = path.name.split(".")[0]
    what = recognise_channel(channel) or (recognise_channel(stem) if alone else None)
    mark: dict[str, Any] = {"path": str(path), "channel": channel}
    meta: dict[str, Any] = {
        "name": stem if alone else f"{channel} · {stem}",
        "axis_labels": ("z", "y", "x"),
        "metadata": {MARK: mark},
    }
    if image.voxel_size is not None:
        meta |= {"scale": image.voxel_size, "units": ("µm",) * 3}
    if looks_like_segmentation(f"{stem} {channel}" if alone else channel, data):
        # Only the outline of the cells is visible at first: roofs and structures would hide it.
        return data, {**meta, "visible": "roof" not in channel and what is None}, "labels"
    if what is not None:
        mark["shows"] = what
    meta |= {
        "colormap": channel_colormap(what) if what else "gray",
        "blending": "additive",
        "contrast_limits": image_limits(data),
    }
    return data, meta, "image"
