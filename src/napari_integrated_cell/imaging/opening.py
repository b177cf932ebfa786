"""Opening an image file, the one place that knows which reader is installed.

aicsimageio reads on Python 3.11 and 3.12; it cannot be installed later, where its successor bioio reads. Both
offer the same interface, of which only what stands in :class:`OpenedImage` leaves this file.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Endings of the files that can be read; the last three where the reader's extra is installed.
READABLE_EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".czi", ".nd2", ".lif")

# Per extra: the modules of which one does the reading, aicsimageio's first, bioio's second.
_EXTRAS = {"czi": ("aicspylibczi", "bioio_czi"), "nd2": ("nd2", "bioio_nd2"), "lif": ("readlif", "bioio_lif")}
# tifffile reads on past these and gives fewer or empty planes; a shortened stack must not pass for an image.
_TORN = re.compile(
    r"invalid (page offset|next page|offset to (first )?page)|corrupted (file|tag list)"
    r"|TiffTag (270|273|279|324|325) .*invalid value offset"
)
_MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "in": 25400.0}


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """One scene and one time point of a file.

    Attributes
    ----------
    data : array, (C, Z, Y, X)
    channel_names : tuple of str
        As the file gives them; a reader's stand-ins (``"Channel:0:1"``) become ``"channel 1"``.
    voxel_size : tuple of float or None
        (Z, Y, X) in µm; None where the file leaves any of them out.
    scenes, times : int
        How many the file holds.
    """

    data: NDArray[Any]
    channel_names: tuple[str, ...]
    voxel_size: tuple[float, float, float] | None
    scenes: int
    times: int


def open_image(path: Path, scene: int | str, time: int) -> OpenedImage:
    """Read one scene and time point of ``path``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        With one sentence, if it is a folder, of an unknown kind, needs an extra, is damaged, is no stack, is
        a colour picture, or has no such scene or time point.
    """
    _check(path)
    with _watched() as torn:
        try:
            opened = _read(path, scene, time)
        except _UnsupportedImage as refusal:
            raise ValueError(str(refusal)) from None
        except PermissionError:
            raise ValueError(f"{path.name} may not be read: change its permissions or copy it.") from None
        except Exception as error:  # readers raise whatever their format's library does
            raise ValueError(
                f"{path.name} could not be read: it is damaged, cut short or not the image its name says "
                f"({str(error).strip() or type(error).__name__}). Copy or export it again."
            ) from error
    if torn:
        raise ValueError(f"{path.name} is damaged or cut short ({torn[0]}): copy or export it again.")
    return opened


class _UnsupportedImage(ValueError):
    """The file is sound but not what this project reads."""


def _check(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give an image file in it.")
    name = path.name.lower()
    if not name.endswith(READABLE_EXTENSIONS):
        raise ValueError(
            f"{path.name} is of no kind that can be read ({', '.join(READABLE_EXTENSIONS)}): export it as "
            "OME-TIFF."
        )
    modules = _EXTRAS.get(name.rsplit(".", 1)[-1])
    if modules and importlib.util.find_spec(modules[0 if _has_aicsimageio() else 1]) is None:
        extra = name.rsplit(".", 1)[-1]
        raise ValueError(
            f'{path.name} needs a reader that is not installed: pip install "napari-integrated-cell[{extra}]"'
            ", or export the image as OME-TIFF."
        )


def _has_aicsimageio() -> bool:
    return importlib.util.find_spec("aicsimageio") is not None


def _container(path: Path) -> Any:
    """The file in aicsimageio's or bioio's container, whichever is installed."""
    if _has_aicsimageio():
        from aicsimageio import AICSImage

        return AICSImage(path)
    from bioio import BioImage

    if path.name.lower().endswith((".tif", ".tiff")):
        # bioio prefers whichever plugin was installed last; OME metadata, where there is any, must win.
        from bioio_base.exceptions import UnsupportedFileFormatError
        from bioio_ome_tiff import Reader

        try:
            return BioImage(path, reader=Reader)
        except UnsupportedFileFormatError:
            pass
    return BioImage(path)


def _read(path: Path, scene: int | str, time: int) -> OpenedImage:
    container = _container(path)
    scenes = container.scenes
    if scene not in scenes and not (isinstance(scene, int) and 0 <= scene < len(scenes)):
        raise _UnsupportedImage(f"{path.name} has no scene {scene!r}: it has {len(scenes)}, counted from 0.")
    container.set_scene(scene)
    dims = container.dims
    if "S" in dims.order:
        raise _UnsupportedImage(
            f"{path.name} is a colour (RGB) picture: save its channels as an OME-TIFF stack."
        )
    if not 0 <= time < dims.T:
        raise _UnsupportedImage(f"{path.name} has no time point {time}: it has {dims.T}, counted from 0.")
    if dims.Z < 2:
        raise _UnsupportedImage(f"{path.name} is a flat picture: a cell needs a Z stack.")
    if dims.T == 1:
        # Read in one go: lazily, every chunk opens the file again, which for small files costs most of the time.
        data = container.get_image_data("CZYX", T=0)
    else:
        # In this thread, so that what the reader says of a torn file can be told from another file's.
        data = container.get_image_dask_data("CZYX", T=time).compute(scheduler="synchronous")
    index = scene if isinstance(scene, int) else scenes.index(scene)
    names = _names(container.channel_names, len(data))
    return OpenedImage(np.asarray(data), names, _voxel_size(container, index), len(scenes), int(dims.T))


def _names(given: Any, count: int) -> tuple[str, ...]:
    names = [str(name) for name in (given if given is not None else ())]
    names += [""] * (count - len(names))
    stand_in = re.compile(r"|(Channel|C):\d+(:\d+)?")
    return tuple(f"channel {i}" if stand_in.fullmatch(name) else name for i, name in enumerate(names[:count]))


def _voxel_size(container: Any, scene: int) -> tuple[float, float, float] | None:
    """Voxel size in µm; None where the file does not give all three."""
    pixels = None
    if (
        "tiff" in type(container.reader).__module__
    ):  # other formats' OME is a slow translation, and always in µm
        try:
            pixels = container.ome_metadata.images[scene].pixels
        except NotImplementedError:  # a TIFF without OME
            pixels = None
    if pixels is not None:
        sizes = [getattr(pixels, f"physical_size_{axis}") for axis in "zyx"]
        units = [getattr(pixels, f"physical_size_{axis}_unit") for axis in "zyx"]
        factors = [_MICROMETRES.get(getattr(unit, "value", unit) or "µm") for unit in units]
        if None in sizes or None in factors:
            return None
        z, y, x = (float(s) * f for s, f in zip(sizes, factors, strict=True) if f is not None)
    else:
        sizes = [getattr(container.physical_pixel_sizes, axis) for axis in "ZYX"]
        # A TIFF without a resolution reads as 1 per pixel, which no cell is imaged at.
        if None in sizes or sizes[1:] == [1.0, 1.0]:
            return None
        z, y, x = (float(s) for s in sizes)
    return (z, y, x) if min(z, y, x) > 0 else None


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Keep readers' log off the screen, and collect from it what says that the file is torn."""
    torn: list[str] = []
    mine = threading.get_ident()

    class Watch(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.thread != mine:
                return True
            message = record.getMessage()
            if _TORN.search(message):
                torn.append(re.sub(r"<[^>]*>\s*", "", message) or message)
            return False

    watch = Watch()
    loggers = [logging.getLogger(name) for name in ("tifffile", "tifffile.tifffile", *_READERS_THAT_LOG)]
    for logger in loggers:
        logger.addFilter(watch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield torn
    finally:
        for logger in loggers:
            logger.removeFilter(watch)


# A logging filter acts on its own logger only, not on that logger's children.
_READERS_THAT_LOG = ("aicsimageio.aics_image", "aicsimageio.readers.tiff_reader", "bioio.bio_image")
