"""Draw a traversal as flat pictures: the frames of a movie, and the contact sheet of Figure S9."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.picture import COLUMNS, LINE, MARGIN, Rgb, enlarged, png_bytes, tile, titled_tiles
from napari_integrated_cell.vocabulary import colour_of, label_of

if TYPE_CHECKING:
    from napari_integrated_cell.model.runtime import CancelToken, Progress
    from napari_integrated_cell.walk.traversal import Traversal


_FAINT = 0.35
_REFERENCES = "membrane and DNA"
_GREY = "#a0a0a0"


def tiles_of(frame: Floats, channels: Sequence[str], n_ref: int, brightest: Floats) -> dict[str, Rgb]:
    """Draw tiles of a frame: one of the reference channels, and one per structure, seen from above and from the side.

    Parameters
    ----------
    frame : array (C, Z, Y, X)
        Values in [0, 1].
    channels : sequence of str
        Names of ``n_ref`` reference channels, then of the structures.
    brightest : array (C,)
        Value of each channel that is shown at full brightness, the same for every frame.

    Returns
    -------
    dict of str to array of uint8 (Y + 1 + Z, X, 3)
    """
    volumes = dict(zip(channels, frame, strict=True))
    references = {name: volumes[name] for name in channels[:n_ref]}
    # `tile` scales a channel to its own maximum. Scale it down to the maximum of the whole walk.
    level = {
        name: float(volume.max()) / max(float(most), 1e-6)
        for (name, volume), most in zip(volumes.items(), brightest, strict=True)
    }
    faint = level | {name: _FAINT * level[name] for name in references}
    tiles = {_REFERENCES: tile(references, dim=level)}
    return tiles | {name: tile({**references, name: volumes[name]}, dim=faint) for name in channels[n_ref:]}


def film_picture(
    tiles: Mapping[str, Rgb],
    title: str,
    note: str,
    *,
    share: float,
    stops: Sequence[float],
    tile_width: int = 192,
) -> Rgb:
    """Draw one picture of a movie: title, named tiles, a line with the progress of the walk, and a note.

    Parameters
    ----------
    tiles : mapping of str to array
        Tiles from :func:`tiles_of`.
    title, note : str
        Text above and below the tiles. State here if cells are simulated.
    share : float
        Position of the frame in the walk, in [0, 1].
    stops : sequence of float
        Positions of the stops in the walk, in [0, 1].
    tile_width : int
        Approximate width of a tile in pixels. A voxel is a whole number of pixels wide.

    Returns
    -------
    array of uint8, (rows, columns, 3)
    """
    scale = max(1, round(tile_width / next(iter(tiles.values())).shape[1]))
    across = min(COLUMNS, max(2, len(tiles)))  # at least two, to have room for the text
    canvas = titled_tiles(tiles, title, scale=scale, across=across, below=3 * LINE)
    draw = ImageDraw.Draw(canvas)
    left, right, y = MARGIN, canvas.width - MARGIN, canvas.height - 2.5 * LINE
    draw.line((left, y, right, y), fill="#404040", width=3)
    draw.line((left, y, left + share * (right - left), y), fill="white", width=3)
    for stop in stops:
        x_stop = left + stop * (right - left)
        draw.ellipse((x_stop - 4, y - 4, x_stop + 4, y + 4), fill="white" if stop <= share else "#404040")
    for i, line in enumerate(_wrapped(note, right - left)):
        draw.text((left, y + (0.5 + 0.75 * i) * LINE), line, fill=_GREY, font=ImageFont.load_default(12))
    return np.asarray(canvas)


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """A sheet with a row per time point and a column per structure (Figure S9).

    Attributes
    ----------
    title, note : str
        Text above the rows.
    rows : tuple of str
        Name of each time point.
    columns : tuple of str
        Channel names. The first column shows all reference channels.
    tiles : tuple of tuple of array
        One tile per row and column, (Y + 1 + Z, X, 3) uint8.
    """

    title: str
    note: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    tiles: tuple[tuple[Rgb, ...], ...]

    @property
    def scale(self) -> int:
        """Pixels per voxel."""
        return max(1, round(128 / self.tiles[0][0].shape[1]))

    def layout(self) -> tuple[int, int, int, int, int]:
        """Return width and height of a tile, left and top edge of the first tile, and width of the sheet, in pixels."""
        height, width = (n * self.scale for n in self.tiles[0][0].shape[:2])
        left = 2 * MARGIN + max(round(_length(text, 13)) for row in self.rows for text in _lines(row))
        whole = max(left + len(self.columns) * (width + MARGIN), 480)
        return width, height, left, (3 + len(_wrapped(self.note, whole - 2 * MARGIN))) * LINE, whole

    def to_rgb(self) -> Rgb:
        """Return the sheet as a picture (rows, columns, 3)."""
        width, height, left, top, whole = self.layout()
        canvas = Image.new("RGB", (whole, top + len(self.rows) * (height + MARGIN)), "black")
        draw = ImageDraw.Draw(canvas)
        draw.text((MARGIN, MARGIN), self.title, fill="white", font=ImageFont.load_default(17))
        for i, line in enumerate(_wrapped(self.note, whole - 2 * MARGIN)):
            draw.text((MARGIN, (1.5 + i) * LINE), line, fill=_GREY, font=ImageFont.load_default(12))
        for j, name in enumerate(self.columns):
            x = left + j * (width + MARGIN)
            draw.text((x, top - LINE), name, fill=colour_of(name), font=ImageFont.load_default(13))
        for i, row in enumerate(self.rows):
            y = top + i * (height + MARGIN)
            for k, text in enumerate(_lines(row)):
                draw.text((MARGIN, y + 16 * k), text, fill="white", font=ImageFont.load_default(13))
            for j, picture in enumerate(self.tiles[i]):
                canvas.paste(enlarged(picture, self.scale), (left + j * (width + MARGIN), y))
        return np.asarray(canvas)

    def to_svg(self) -> bytes:
        """Return the sheet as SVG, with text as text and tiles as PNG with one pixel per voxel."""
        width, height, left, top, whole = self.layout()
        size = {"width": str(whole), "height": str(top + len(self.rows) * (height + MARGIN))}
        root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {size['width']} {size['height']}",
                **size,
                "font-family": "sans-serif",
            },
        )
        ElementTree.SubElement(root, "title").text = self.title
        ElementTree.SubElement(root, "desc").text = self.note
        ElementTree.SubElement(root, "rect", {**size, "fill": "black"})

        def write(text: str, x: float, y: float, size: int, fill: str) -> None:
            place = {"x": f"{x:g}", "y": f"{y:g}", "font-size": str(size), "fill": fill}
            ElementTree.SubElement(root, "text", place).text = text

        write(self.title, MARGIN, MARGIN + 16, 17, "white")
        for i, line in enumerate(_wrapped(self.note, whole - 2 * MARGIN)):
            write(line, MARGIN, (2 + i) * LINE, 11, _GREY)
        for j, name in enumerate(self.columns):
            write(label_of(name), left + j * (width + MARGIN), top - 0.4 * LINE, 12, colour_of(name))
        for i, row in enumerate(self.rows):
            y = top + i * (height + MARGIN)
            for k, text in enumerate(_lines(row)):
                write(text, MARGIN, y + 12 + 16 * k, 12, "white")
            for j, picture in enumerate(self.tiles[i]):
                place = {
                    "x": str(left + j * (width + MARGIN)),
                    "y": str(y),
                    "width": str(width),
                    "height": str(height),
                    "style": "image-rendering: pixelated",
                    "href": f"data:image/png;base64,{base64.b64encode(png_bytes(picture, optimize=True)).decode()}",
                }
                ElementTree.SubElement(root, "image", place)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def contact_sheet(
    traversal: Traversal, *, cancel: CancelToken | None = None, progress: Progress | None = None
) -> ContactSheet:
    """Decode a traversal one frame at a time into a contact sheet. Only the tiles are kept in memory."""
    brightest = traversal.brightest(cancel=cancel, progress=progress)
    n_ref = len(traversal.model.config.references)
    tiles = [
        tiles_of(frame, traversal.channels, n_ref, brightest)
        for frame in traversal.frames(cancel=cancel, progress=progress)
    ]
    return ContactSheet(
        title_of(traversal),
        note_of(traversal),
        tuple(f"{t}  {traversal.walk.title(t)}" for t in range(len(traversal))),
        tuple(tiles[0]),
        tuple(tuple(row.values()) for row in tiles),
    )


def title_of(traversal: Traversal) -> str:
    """Return the names of the first and last stop as a title."""
    stops = traversal.walk.stops
    return f"{stops[0].label} to {stops[-1].label}"


def note_of(traversal: Traversal) -> str:
    """Return a sentence on how the pictures were made: the model, its training cells and the path."""
    path = f"{traversal.walk.path} path"
    return f"Predicted by the model {traversal.model.name!r}, trained on {traversal.trained_on}. {path.capitalize()}."


def _lines(row: str) -> list[str]:
    """Split a row's name into two lines if it names two stops."""
    first, between, second = row.partition(" to ")
    return [first + between.rstrip(), f"    {second}"] if between else [row]


def _wrapped(text: str, width: float) -> list[str]:
    """Wrap ``text`` into lines of at most ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _length(longer, 12) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _length(text: str, size: int) -> float:
    return float(ImageFont.load_default(size).getlength(text))
