"""Open image files with aicsimageio or bioio. No other module imports a reader.

aicsimageio reads on Python 3.11 and 3.12 and cannot be installed on later versions. Its successor bioio has the same
interface. Only :class:`OpenedImage` leaves this module.
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

#: Extensions of readable files; the last three need an extra.
READABLE_EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".czi", ".nd2", ".lif")

# Modules that an extra installs: for aicsimageio, and for bioio.
_EXTRAS = {"czi": ("aicspylibczi", "bioio_czi"), "nd2": ("nd2", "bioio_nd2"), "lif": ("readlif", "bioio_lif")}
# tifffile only logs these problems and returns fewer or empty planes. They must be errors here.
_DAMAGED = re.compile(
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
        As in the file. A reader's placeholder (``"Channel:0:1"``) becomes ``"channel 1"``.
    voxel_size : tuple of float or None
        (Z, Y, X) in µm; None if the file lacks any of them.
    scenes, times : int
        Number of scenes and time points in the file.
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
        If it is a folder, a file of an unknown kind, damaged, not a stack, a colour picture, or if an extra is
        missing or there is no such scene or time point.
    """
    _check(path)
    with _damage_reports() as damage:
        try:
            opened = _read(path, scene, time)
        except _UnsupportedImage as error:
            raise ValueError(str(error)) from None
        except PermissionError:
            raise ValueError(f"{path.name} may not be read: change its permissions or copy it.") from None
        except Exception as error:  # format libraries raise errors of any class
            raise ValueError(
                f"{path.name} could not be read ({str(error).strip() or type(error).__name__}): it is damaged, cut "
                "short or not of the kind its name says, so copy or export it again."
            ) from error
    if damage:
        raise ValueError(f"{path.name} is damaged or cut short ({damage[0]}): copy or export it again.")
    return opened


class _UnsupportedImage(ValueError):
    """The file is intact, but this project does not read such images."""


def _check(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give an image file in it.")
    name = path.name.lower()
    if not name.endswith(READABLE_EXTENSIONS):
        raise ValueError(
            f"{path.name} is not a file that can be read ({', '.join(READABLE_EXTENSIONS)}): export it as OME-TIFF."
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
    """Open the file with aicsimageio or bioio, whichever is installed."""
    if _has_aicsimageio():
        from aicsimageio import AICSImage

        return AICSImage(path)
    from bioio import BioImage

    if path.name.lower().endswith((".tif", ".tiff")):
        # bioio prefers the plugin that was installed last. Prefer the OME reader, to keep OME metadata.
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
        raise _UnsupportedImage(
            f"{path.name} is a flat picture, and a cell needs a Z stack: export all planes."
        )
    if dims.T == 1:
        # Not lazily: dask would open the file again for every chunk, which is slow for small files.
        data = container.get_image_data("CZYX", T=0)
    else:
        # In this thread, so that log records about this file can be recognised by their thread.
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
    """Return the voxel size (Z, Y, X) in µm, or None if the file does not give all three."""
    pixels = None
    # For other formats OME metadata are a slow translation, and always in µm.
    if "tiff" in type(container.reader).__module__:
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
        # The reader returns 1 for a TIFF without a resolution. No cell is imaged at that size.
        if None in sizes or sizes[1:] == [1.0, 1.0]:
            return None
        z, y, x = (float(s) for s in sizes)
    return (z, y, x) if min(z, y, x) > 0 else None


@contextmanager
def _damage_reports() -> Iterator[list[str]]:
    """Hide the readers' log, and collect from it the reports of a damaged file."""
    damage: list[str] = []
    this_thread = threading.get_ident()

    class LogFilter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.thread != this_thread:
                return True
            message = record.getMessage()
            if _DAMAGED.search(message):
                damage.append(re.sub(r"<[^>]*>\s*", "", message) or message)
            return False

    log_filter = LogFilter()
    loggers = [logging.getLogger(name) for name in ("tifffile", "tifffile.tifffile", *_READERS_THAT_LOG)]
    for logger in loggers:
        logger.addFilter(log_filter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield damage
    finally:
        for logger in loggers:
            logger.removeFilter(log_filter)


# A filter applies to one logger only, not to its children.
_READERS_THAT_LOG = ("aicsimageio.aics_image", "aicsimageio.readers.tiff_reader", "bioio.bio_image")
