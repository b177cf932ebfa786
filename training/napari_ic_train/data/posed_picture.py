"""Draw posed cells as the model sees them: slices through the middle of the box, three views per cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_ic_train.data.store import CellStore
from napari_integrated_cell.arrays import Reals, Rgb
from napari_integrated_cell.picture import colour_rgb, write_png

VIEWS = ("XY", "XZ", "YZ")
WIDTH = 1100
BAR = 10.0
"""Length of the scale bar, µm."""

_GAP, _LINE = 10, 18


def draw_posed(store: CellStore, path: str | Path, *, n_cells: int = 4) -> Path:
    """Draw some cells of a store, evenly spread over it, into a PNG of about `WIDTH` pixels.

    Parameters
    ----------
    store : CellStore
    path : path-like
    n_cells : int
        Largest number of cells.

    Returns
    -------
    Path
    """
    chosen = np.unique(np.linspace(0, len(store) - 1, min(n_cells, len(store))).round().astype(int))
    references = store.references(chosen).numpy()
    _, y, x = store.box
    scale = max(1, round((WIDTH - 4 * _GAP) / (2 * x + y)))
    rows = []
    for position, image in zip(chosen, references, strict=True):
        cell = store.table.iloc[position]
        made = ", simulated" if store.simulated else ""
        title = f"cell {cell['CellId']}, {cell['structure'] or 'no structure'}{made}; references: {cell['references']}"
        rows.append(views(dict(zip(store.channels, image, strict=False)), store.voxel_size, title, scale))
    return write_png(path, np.concatenate(rows))


def views(volumes: dict[str, Reals], voxel_size: float, title: str, scale: int) -> Rgb:
    """Draw one cell's channels in their colours, in slices through the middle of the box: XY, XZ and YZ.

    Parameters
    ----------
    volumes : mapping of str to array, (Z, Y, X) in [0, 1]
    voxel_size : float
        µm.
    title : str
    scale : int
        Pixels per voxel.

    Returns
    -------
    array of uint8, (rows, columns, 3)
        Z points upwards.
    """
    coloured = sum(volume[..., None] * colour_rgb(name) for name, volume in volumes.items())
    box = np.clip(np.asarray(coloured, np.float32), 0, 1)
    z, y, x = (n // 2 for n in box.shape[:3])
    slices = (box[z], box[::-1, y], box[::-1, :, x])
    drawn = [
        Image.fromarray((s * 255).round().astype(np.uint8)).resize(
            (s.shape[1] * scale, s.shape[0] * scale), Image.Resampling.BICUBIC
        )
        for s in slices
    ]
    width = sum(view.width + _GAP for view in drawn) + _GAP
    canvas = Image.new("RGB", (width, max(v.height for v in drawn) + 2 * _LINE + 2 * _GAP), "black")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    draw.text((_GAP, _GAP // 2), title, fill="white", font=font)
    left = _GAP
    for name, view in zip(VIEWS, drawn, strict=True):
        draw.text((left, _GAP // 2 + _LINE), name, fill="#bbbbbb", font=font)
        canvas.paste(view, (left, 2 * _LINE + _GAP))
        draw.rectangle(
            (left - 1, 2 * _LINE + _GAP - 1, left + view.width, 2 * _LINE + _GAP + view.height),
            outline="#444444",
        )
        left += view.width + _GAP
    length = round(BAR / voxel_size * scale)
    bottom = 2 * _LINE + _GAP + drawn[0].height - 10
    draw.rectangle((_GAP + 10, bottom - 3, _GAP + 10 + length, bottom), fill="white")
    # Pillow's own font has no µ.
    draw.text((_GAP + 10, bottom - 3 - _LINE), f"{BAR:g} microns", fill="white", font=font)
    return np.asarray(canvas)
