"""Draw the pictures of the report: plots as SVG, and images of cells as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_integrated_cell.arrays import Floats, Rgb
from napari_integrated_cell.picture import png_bytes, tile
from napari_integrated_cell.vocabulary import label_of
from napari_integrated_cell.walk.pictures import ContactSheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

COLOURS: Mapping[str, str] = {
    "train": "#4a86c5",
    "test": "#e0703c",
    "generated": "#3a9d5d",
    "decoded train": "#8fb6de",
    "decoded test": "#eda983",
    "prior": "#9a6fc0",
}
"""Colour of each collection of images, legible on white and on black."""

FAINT = {"membrane": 0.35, "dna": 0.35}


def panels(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Plot, list[Axes]]:
    """Return an empty plot, with its size in inches, and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def name_structures(ax: Axes, structures: Sequence[str]) -> None:
    """Print the names of the structures under their places 0, 1, ... of the x axis."""
    ax.set_xticks(range(len(structures)), [label_of(name) for name in structures], rotation=30, ha="right")


def legend_above(ax: Axes, columns: int) -> None:
    """Draw the legend above the axes, in this number of columns."""
    ax.legend(frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1))


def svg(figure: Plot) -> bytes:
    """Return a plot as SVG: text stays text, there is no background, and black takes the page's text colour."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "napari-ic-train"}):
        figure.savefig(file, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    text = file.getvalue()
    markup = text[text.index("<svg ") :].replace("<svg ", '<svg fill="currentColor" ', 1)
    return markup.replace("stroke: #000000", "stroke: currentColor").encode()


def cell_tile(cell: Floats, structure: str = "", *, references: bool = True) -> Rgb:
    """Draw a cell from above and from the side.

    Parameters
    ----------
    cell : array (R + 1, Z, Y, X), or (R, Z, Y, X) without a structure
        Membrane and DNA come first.
    structure : str
        Structure of the last channel; empty if there is none.
    references : bool
        Show membrane and DNA behind the structure.
    """
    if not structure:
        return tile({"membrane": cell[0], "dna": cell[1]})
    if not references:
        return tile({structure: cell[-1]})
    return tile({"membrane": cell[0], "dna": cell[1], structure: cell[-1]}, dim=FAINT)


def sheet(
    rows: Sequence[str],
    columns: Sequence[str],
    tiles: Sequence[Sequence[Rgb]],
    title: str,
    *,
    simulated: bool,
) -> bytes:
    """Return tiles with named rows and columns as one PNG; the title says if the cells are ``simulated``."""
    title += " (simulated cells)" if simulated else ""
    drawn = ContactSheet(title, "", tuple(rows), tuple(columns), tuple(tuple(row) for row in tiles))
    return png_bytes(drawn.to_rgb(), optimize=True, colours=256)
