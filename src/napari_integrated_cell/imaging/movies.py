"""Write movies of RGB pictures as MP4 or GIF, one picture at a time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from napari_integrated_cell.arrays import Rgb
from napari_integrated_cell.imaging.atomic import atomic_write


def write_mp4(path: Path, pictures: Iterable[Rgb], *, fps: float, title: str, description: str) -> Path:
    """Write pictures (rows, columns, 3) as an H.264 movie that common players and browsers show.

    Raises
    ------
    ImportError
        If imageio-ffmpeg is not installed.
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    try:
        from imageio_ffmpeg import count_frames_and_secs, write_frames
    except ImportError as error:
        raise ImportError(
            "MP4 needs the package imageio-ffmpeg, which is not installed: install it, or write a GIF instead."
        ) from error
    sources = (_even(picture) for picture in pictures)
    first = next(sources)
    with atomic_write(path) as part:
        film = write_frames(
            str(part),
            (first.shape[1], first.shape[0]),
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=[
                *("-crf", "18", "-movflags", "+faststart"),
                *("-metadata", f"title={title}", "-metadata", f"comment={description}"),
            ],
        )
        film.send(None)
        sent = 0
        try:
            for picture in chain([first], sources):
                film.send(picture.tobytes())
                sent += 1
        finally:
            film.close()
        # The encoder does not report a full disk at its end: count the frames that can be read.
        try:
            kept, _ = count_frames_and_secs(str(part))
        except RuntimeError:
            kept = 0
        if kept != sent:
            raise OSError(f"{kept} of {sent} frames were kept")
    return path


def write_gif(
    path: Path, pictures: Iterable[Rgb], *, fps: float, description: str, colours: int = 256
) -> Path:
    """Write pictures (rows, columns, 3) as an endless GIF with ``colours`` colours.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    sources = iter(pictures)
    start = next(sources)
    # One palette for all pictures, so that a constant colour does not flicker.
    palette = Image.fromarray(start).quantize(colours, method=Image.Quantize.MAXCOVERAGE)
    indexed = (
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in chain([start], sources)
    )
    with atomic_write(path) as part:
        next(indexed).save(
            part,
            format="gif",
            save_all=True,
            append_images=indexed,
            duration=round(1000 / fps),
            loop=0,
            comment=description.encode("ascii", "replace"),
        )
    return path


def _even(picture: Rgb) -> Rgb:
    """Return a picture with even sides, which H.264 needs, by adding a black row or column."""
    rows, columns = (n % 2 for n in picture.shape[:2])
    return np.ascontiguousarray(np.pad(picture, ((0, rows), (0, columns), (0, 0))))
