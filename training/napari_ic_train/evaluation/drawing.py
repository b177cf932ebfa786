"""How the report's pictures are made: curves and clouds as SVG, cells as sheets of tiles in PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_integrated_cell.picture import Rgb, tile
from napari_integrated_cell.vocabulary import structure
from napari_integrated_cell.walk.pictures import ContactSheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

COLOURS: Mapping[str, str] = {
    "train": "#4a86c5",
    "test": "#e0703c",
    "generated": "#3a9d5d",
    "decoded train": "#8fb6de",
    "decoded test": "#eda983",
    "prior": "#9a6fc0",
}
"""One colour a collection of images, legible on white and on black."""

FAINT = {"membrane": 0.35, "dna": 0.35}


def label_of(name: str) -> str:
    """How the paper prints a structure; the model's own name for one that the vocabulary does not know."""
    try:
        return structure(name).label
    except ValueError:
        return name


def drawing(width: float, height: float) -> Drawing:
    """An empty drawing of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panels(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Drawing, list[Axes]]:
    """A drawing and its axes, row by row."""
    figure = drawing(width, height)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def svg(figure: Drawing) -> bytes:
    """A drawing as SVG: words are text, no background, and what is black takes the page's own colour."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "napari-ic-train"}):
        figure.savefig(file, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    text = file.getvalue()
    start = text.index("<svg ")
    words = text[start:].replace("<svg ", '<svg fill="currentColor" ', 1)
    return words.replace("stroke: #000000", "stroke: currentColor").encode()


def png(picture: Rgb) -> bytes:
    """An RGB picture as PNG of 256 colours, a third of the size of one of them all."""
    file = io.BytesIO()
    few = Image.fromarray(picture).quantize(256, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True)
    return file.getvalue()


def cell_tile(cell: NDArray[np.float32], structure: str = "", *, references: bool = True) -> Rgb:
    """One cell (R + 1, Z, Y, X), or (R, Z, Y, X) without a structure, from above and from the side.

    Parameters
    ----------
    cell : array
        Membrane and DNA first.
    structure : str
        What the last channel shows; empty where there is none.
    references : bool
        Whether to show membrane and DNA behind the structure.
    """
    if not structure:
        return tile({"membrane": cell[0], "dna": cell[1]})
    if not references:
        return tile({structure: cell[-1]})
    return tile({"membrane": cell[0], "dna": cell[1], structure: cell[-1]}, dim=FAINT)


def sheet(rows: Sequence[str], columns: Sequence[str], tiles: Sequence[Sequence[Rgb]], title: str) -> bytes:
    """Named rows and columns of tiles as one PNG; ``title`` stands above and says what is simulated."""
    return png(
        ContactSheet(title, "", tuple(rows), tuple(columns), tuple(tuple(row) for row in tiles)).to_rgb()
    )
