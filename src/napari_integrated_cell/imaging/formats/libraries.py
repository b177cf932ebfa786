"""Read with bioio or aicsimageio. No other module imports a reader library."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.formats.damage import one_sentence_about
from napari_integrated_cell.imaging.formats.scene import ImageScene, OpenedFile
from napari_integrated_cell.imaging.formats.sizes import StatedSize, stated_size

#: The readers that can be chosen.
READERS = ("auto", "bioio", "aicsimageio")

# Module of bioio by the file's kind; aicsimageio reads a kind with the module named second.
_MODULES = {
    "czi": ("bioio_czi", "aicspylibczi"),
    "nd2": ("bioio_nd2", "nd2"),
    "lif": ("bioio_lif", "readlif"),
    "zarr": ("bioio_ome_zarr", "ome_zarr"),
    "tiff": ("bioio_tifffile", "aicsimageio"),
}


def has(module: str) -> bool:
    """Return whether a module is installed."""
    return importlib.util.find_spec(module) is not None


def library_for(path: Path, kind: str, reader: str) -> str:
    """Return "bioio" or "aicsimageio" for a file of a kind; ``reader`` may be "auto".

    Raises
    ------
    MissingInput
        If the reader that was chosen, or every reader of this kind, is not installed.
    """
    if reader not in READERS:
        raise MissingInput("reader", f"There is no reader {reader!r}: choose {', '.join(READERS)}.")
    bioio, extra = _MODULES[kind]
    if reader != "aicsimageio" and has(bioio):
        return "bioio"
    if reader != "bioio" and has("aicsimageio") and has(extra):
        return "aicsimageio"
    if reader == "aicsimageio":
        needed = "aicsimageio" if not has("aicsimageio") else extra.replace("_", "-")
        package = '"napari-integrated-cell[aicsimageio]"' if needed == "aicsimageio" else needed
        raise MissingInput(
            "reader",
            f"{path.name} cannot be read with aicsimageio, because {needed} is not installed: choose the reader bioio, "
            f"or pip install {package}.",
        )
    raise ValueError(
        f'{path.name} needs a reader that is not installed: pip install "napari-integrated-cell[{kind}]"'
        ", or export the image as OME-TIFF."
    )


def container_of(path: Path, kind: str, library: str) -> Any:
    """Open a file with a library. Both have one interface: scenes, set_scene, dims, get_image_data."""
    if library == "aicsimageio":
        from aicsimageio import AICSImage

        return AICSImage(path)
    return importlib.import_module(_MODULES[kind][0]).Reader(path)


def tiff_container(path: Path, scene: ImageScene, library: str) -> Any:
    """Open a TIFF with a library's reader for OME-TIFF, or with that for other TIFFs and the axes of the scene."""
    named = "".join(axis for axis, n in zip(scene.axes, scene.shape, strict=True) if n > 1)
    if library == "aicsimageio":
        from aicsimageio.readers import OmeTiffReader, TiffReader

        return OmeTiffReader(path) if scene.ome else TiffReader(path, dim_order=named)
    if scene.ome:
        return importlib.import_module("bioio_ome_tiff").Reader(path)
    return importlib.import_module("bioio_tifffile").Reader(path, dim_order=named)


def tiff_through_library(opened: OpenedFile, library: str, *, always: bool) -> OpenedFile:
    """Return a TIFF whose pixels a library reads, as far as it understands the file as we do.

    Where it does not, and for lazy arrays unless ``always``, our own planes are used: a library parses the whole file
    again for each plane.
    """
    path = opened.path

    def scene_of(index: int) -> ImageScene:
        scene = opened.scene(index)
        if not scene.strict:
            return scene

        def array(lazy: bool) -> Any:
            opener = partial(tiff_container, path, scene, library)
            found = _library_array(path, index, scene, opener, lazy) if always or not lazy else None
            return scene.array(lazy) if found is None else found

        return replace(scene, array=array, at_once=None if always else partial(scene.array, False))

    return replace(opened, scene=scene_of)


def zarr_through_library(opened: OpenedFile, library: str) -> OpenedFile:
    """Return an OME-Zarr whose pixels a library reads, as far as it understands the file as we do."""
    path = opened.path

    def scene_of(index: int) -> ImageScene:
        scene = opened.scene(index)

        def array(lazy: bool) -> Any:
            found = _library_array(path, index, scene, partial(container_of, path, "zarr", library), lazy)
            return scene.array(lazy) if found is None else found

        return replace(scene, array=array)

    return replace(opened, scene=scene_of)


def _library_array(path: Path, index: int, scene: ImageScene, opener: Callable[[], Any], lazy: bool) -> Any:
    """Return the pixels of a scene, or None where the library cannot read it or understands it otherwise."""
    if lazy and not scene.dtype.isnative:
        return None  # aicsimageio's tifffile fails on it with numpy 2, and a lazy array would fail too late
    try:
        with one_sentence_about(path):
            container = opener()
            container.set_scene(index)
            read = container.get_image_dask_data if lazy else container.get_image_data
            found = read(scene.axes)
    except (ValueError, FileNotFoundError):
        return None
    if found.shape != scene.shape or found.dtype.newbyteorder("=") != scene.dtype.newbyteorder("="):
        return None
    if lazy:
        return _in_one_sentence(found, path)
    ours = scene.array(True)
    leading = len(scene.axes) - sum(axis in "YXS" for axis in scene.axes)
    for corner in ((0,) * leading, tuple(n - 1 for n in scene.shape[:leading])):
        same = np.asarray(found[corner]) == ours[corner].compute(scheduler="synchronous")
        if not (same | (found[corner] != found[corner])).all():
            return None
    return found


def open_with_library(path: Path, kind: str, library: str) -> OpenedFile:
    """Open a file of a format that only the libraries know."""
    container = container_of(path, kind, library)

    def scene(index: int) -> ImageScene:
        with one_sentence_about(path):
            container.set_scene(index)
            axes = "".join(container.dims.order)
            names = container.channel_names
            shape, dtype, size = tuple(container.dims.shape), container.dtype, _size(container)

        def array(lazy: bool) -> Any:
            with one_sentence_about(path):
                container.set_scene(index)
                if lazy:
                    return _in_one_sentence(container.get_image_dask_data(axes), path)
                return container.get_image_data(axes)

        channels = tuple(str(name) for name in (names if names is not None else ()))
        return ImageScene(axes, shape, dtype, channels, size, array)

    return OpenedFile(path, tuple(str(name) for name in container.scenes), scene)


class _Chunks:
    """The chunks of a library's dask array. dask looks into tuples and arrays, but not into this."""

    def __init__(self, source: Any, path: Path) -> None:
        self.chunks = source.to_delayed()
        self.path = path
        self.size = _bytes_of(path)


def _bytes_of(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _in_one_sentence(source: Any, path: Path) -> Any:
    """Return a lazy array whose errors, raised when its pixels are computed, are one sentence about the file."""
    import dask.array as da

    return da.map_blocks(
        _chunk,
        chunks=source.chunks,
        dtype=source.dtype,
        meta=np.empty((0,) * source.ndim, source.dtype),
        name=f"pixels-{uuid4().hex}",
        source=_Chunks(source, path),
    )


def _chunk(source: _Chunks, block_id: tuple[int, ...] = ()) -> Any:
    with one_sentence_about(source.path):
        # Some libraries return 0 for what is beyond the end of a file.
        if _bytes_of(source.path) != source.size:
            raise ValueError("it was changed, moved or removed after it was opened")
        # In this thread, so that log records about the file can be recognised by their thread.
        return np.asarray(source.chunks[block_id].compute(scheduler="synchronous"))


def _size(container: Any) -> StatedSize:
    sizes = container.physical_pixel_sizes
    given = {axis: getattr(sizes, axis, None) for axis in "ZYX"}
    # A reader's default of 1 for a file without a resolution. No cell is imaged at that size.
    if given["Y"] == given["X"] == 1.0:
        return StatedSize()
    return stated_size({axis: (size, None) for axis, size in given.items() if size is not None})
