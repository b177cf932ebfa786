"""Write a traversal as a movie, a series of volumes or a contact sheet, depending on the file's extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.imaging.movies import write_gif, write_mp4
from napari_integrated_cell.imaging.series import Series, write_tiff_series, write_zarr_series
from napari_integrated_cell.integration import quantised
from napari_integrated_cell.model.runtime import CancelToken, Progress
from napari_integrated_cell.picture import Rgb
from napari_integrated_cell.vocabulary import colour_of
from napari_integrated_cell.walk.pictures import contact_sheet, film_picture, note_of, tiles_of, title_of
from napari_integrated_cell.walk.traversal import Traversal

ENDINGS = (".mp4", ".gif", ".ome.tiff", ".ome.tif", ".ome.zarr", ".png", ".svg")
SHEETS = (".png", ".svg")

FPS = 10.0

# GIF compresses badly: with smaller tiles and fewer colours the file is less than half as large.
GIF_TILE = 128
GIF_COLOURS = 128


def ending_of(path: Path) -> str:
    """Return the extension of a file's name, after checking that the file can be written.

    Raises
    ------
    ValueError
        If the extension is not one of :data:`ENDINGS`.
    OSError
        If the file's folder does not exist, or the path is a folder.
    """
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise ValueError(f"{path.name!r} has no known format: end it in {', '.join(ENDINGS)}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist: create it or choose another.")
    if path.is_dir() and ending != ".ome.zarr":
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    return ending


def write_walk(
    traversal: Traversal,
    path: str | Path,
    *,
    fps: float = FPS,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Path:
    """Decode a traversal frame by frame into a file, with one volume of each channel in memory at a time.

    The file appears when it is complete. After an error, an interrupt or ``cancel``, an existing file is unchanged.

    Parameters
    ----------
    traversal : Traversal
        The walk and the structures to decode.
    path : path
        ``.mp4`` or ``.gif`` for a movie, ``.ome.tiff`` or ``.ome.zarr`` for volumes as ``uint16`` (65535 means 1),
        ``.png`` or ``.svg`` for the contact sheet.
    fps : float
        Frames per second of a movie.
    cancel, progress
        Checked and called between frames.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        For another extension, or an ``fps`` that is not in (0, 100].
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    Cancelled
        If ``cancel`` was set.
    """
    path = Path(path)
    ending = ending_of(path)
    if not 0 < fps <= 100:
        raise ValueError(f"A movie cannot have {fps:g} frames per second: give a number from 0.1 to 100.")
    if ending == ".mp4":
        pictures, about = film(traversal, cancel, progress), traversal.description
        return write_mp4(path, pictures, fps=fps, title=title_of(traversal), description=about)
    if ending == ".gif":
        pictures = film(traversal, cancel, progress, tile_width=GIF_TILE)
        return write_gif(path, pictures, fps=fps, description=traversal.description, colours=GIF_COLOURS)
    if ending in SHEETS:
        return _write_sheet(traversal, path, cancel, progress)
    write = write_zarr_series if ending == ".ome.zarr" else write_tiff_series
    volumes = (quantised(frame, np.uint16) for frame in traversal.frames(cancel=cancel, progress=progress))
    return write(path, _series(traversal, cancel, progress), volumes)


def film(
    traversal: Traversal,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
    *,
    tile_width: int = 192,
) -> Iterator[Rgb]:
    """Draw the pictures of a movie while its frames are decoded, with tiles of about ``tile_width`` pixels."""
    brightest = traversal.brightest(cancel=cancel, progress=progress)
    walk, n_ref = traversal.walk, len(traversal.model.config.references)
    last = len(walk) - 1
    stops, note = [t / last for t in walk.at], note_of(traversal)
    for t, frame in enumerate(traversal.frames(cancel=cancel, progress=progress)):
        tiles = tiles_of(frame, traversal.channels, n_ref, brightest)
        yield film_picture(tiles, walk.title(t), note, share=t / last, stops=stops, tile_width=tile_width)


def _series(traversal: Traversal, cancel: CancelToken | None, progress: Progress | None) -> Series:
    t, c, z, y, x = traversal.shape
    brightest = quantised(traversal.brightest(cancel=cancel, progress=progress), np.uint16)
    return Series(
        shape=(t, c, z, y, x),
        channels=traversal.channels,
        colours=tuple(colour_of(name) for name in traversal.channels),
        brightest=tuple(max(1, int(value)) for value in brightest),
        voxel_size=traversal.voxel_size,
        name=title_of(traversal),
        description=f"{traversal.description} 65535 means an intensity of 1.",
    )


def _write_sheet(
    traversal: Traversal, path: Path, cancel: CancelToken | None, progress: Progress | None
) -> Path:
    sheet = contact_sheet(traversal, cancel=cancel, progress=progress)
    with atomic_write(path) as part:
        if path.suffix.lower() == ".svg":
            part.write_bytes(sheet.to_svg())
        else:
            facts = PngImagePlugin.PngInfo()
            facts.add_text("Title", sheet.title)
            facts.add_text("Description", traversal.description)
            Image.fromarray(sheet.to_rgb()).save(part, format="png", pnginfo=facts)
    return path
