"""Flat pictures of volumes: coloured projections, and a sheet of all structures of an integrated cell."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_integrated_cell.arrays import Floats, Reals, Rgb
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, colour_of

COLUMNS = 4
"""Largest number of tiles in a row."""
MARGIN, LINE = 8, 22
"""Space around tiles and height of a line of text, in pixels."""


def colour_rgb(name: str) -> Floats:
    """Return the vocabulary's colour of a channel as three floats in [0, 1]."""
    code = colour_of(name).lstrip("#")
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def projection(
    volumes: Mapping[str, Reals], axis: int = 0, *, dim: Mapping[str, float] | None = None
) -> Floats:
    """Add the maximum projections of several volumes, each in its vocabulary colour.

    Parameters
    ----------
    volumes : mapping of str to array, (Z, Y, X)
        Volumes on one grid. Each is scaled to its own maximum.
    axis : int
        Viewing axis: 0 from above, 1 from the side.
    dim : mapping of str to float, optional
        Factor on the brightness of a channel; 1 for channels that are not listed.

    Returns
    -------
    array of float32, (rows, columns, 3)
        Clipped to [0, 1].
    """
    picture: Floats | None = None
    for name, volume in volumes.items():
        flat = np.asarray(volume, np.float32).max(axis=axis)
        flat = flat / max(float(flat.max()), 1e-6) * (dim or {}).get(name, 1.0)
        coloured = flat[..., None] * colour_rgb(name)
        picture = coloured if picture is None else picture + coloured
    if picture is None:
        raise ValueError("There is nothing to project: give at least one volume.")
    return np.clip(picture, 0, 1)


def tile(volumes: Mapping[str, Reals], *, dim: Mapping[str, float] | None = None) -> Rgb:
    """Return volumes seen from above and, below that, from the side with the apical pole up; RGB ``uint8``."""
    above = projection(volumes, 0, dim=dim)
    side = projection(volumes, 1, dim=dim)[::-1]  # Z grows upwards from the dish
    rule = np.full((1, above.shape[1], 3), 0.25, np.float32)
    return (np.concatenate([above, rule, side]) * 255).round().astype(np.uint8)


def sheet(references: Reals, volumes: Mapping[str, Reals], title: str, *, scale: int = 3) -> Rgb:
    """Draw one tile of the reference channels and one tile per structure, with names and colours (as in Figure 3).

    Parameters
    ----------
    references : array, (2, Z, Y, X)
        Membrane and DNA in the model's box.
    volumes : mapping of str to array, (Z, Y, X)
        Structures in the same box.
    title : str
        Text above the tiles. State here if the cell is simulated.
    scale : int
        Screen pixels per voxel.

    Returns
    -------
    array of uint8, (rows, columns, 3)
    """
    cell = dict(zip(REFERENCE_NAMES, references, strict=True))
    faint = dict.fromkeys(REFERENCE_NAMES, 0.35)
    tiles = {"membrane and DNA": tile(cell)}
    tiles |= {name: tile({**cell, name: volume}, dim=faint) for name, volume in volumes.items()}

    return np.asarray(titled_tiles(tiles, title, scale=scale))


def titled_tiles(
    tiles: Mapping[str, Rgb], title: str, *, scale: int, across: int = COLUMNS, below: int = 0
) -> Image.Image:
    """Draw a title, and under it tiles with their names, ``across`` in a row, with ``below`` free pixels under them."""
    rows, columns = next(iter(tiles.values())).shape[:2]
    width, height = columns * scale + MARGIN, rows * scale + LINE + MARGIN
    down = -(-len(tiles) // across)
    canvas = Image.new("RGB", (across * width + MARGIN, down * height + 2 * LINE + below), "black")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, fill="white", font=ImageFont.load_default(17))
    for i, (name, picture) in enumerate(tiles.items()):
        x, y = MARGIN + i % across * width, 2 * LINE + i // across * height
        draw.text((x, y), name, fill=colour_of(name), font=ImageFont.load_default(14))
        canvas.paste(enlarged(picture, scale), (x, y + LINE))
    return canvas


def enlarged(picture: Rgb, scale: int) -> Image.Image:
    """Return a picture whose pixels are ``scale`` times as large."""
    rows, columns = picture.shape[:2]
    return Image.fromarray(picture).resize((columns * scale, rows * scale), Image.Resampling.BICUBIC)


def write_png(path: str | Path, picture: Rgb) -> Path:
    """Write an RGB picture (rows, columns, 3) as PNG.

    Raises
    ------
    OSError
        If the file cannot be written. An existing file is unchanged.
    """
    path = Path(path)
    with atomic_write(path) as part:
        part.write_bytes(png_bytes(picture))
    return path


def png_bytes(picture: Rgb, *, optimize: bool = False, colours: int | None = None) -> bytes:
    """Return the PNG file of an RGB picture (rows, columns, 3). Optimizing makes it smaller, and takes longer.

    With 256 ``colours`` the file has a third of the size of a file with all colours.
    """
    file = io.BytesIO()
    image = Image.fromarray(picture)
    if colours is not None:
        image = image.quantize(colours, dither=Image.Dither.NONE)
    image.save(file, format="png", optimize=optimize)
    return file.getvalue()
