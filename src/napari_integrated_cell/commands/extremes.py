"""Draw the least and the most variable cells of each structure side by side (as in Figure S8)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_integrated_cell.arrays import Rgb
from napari_integrated_cell.vocabulary import colour_of

EACH_END = 4
"""Number of cells at each end of a row."""

_WIDTH = 132
_MARGIN = 8
_LINE = 14
_NAME = 120
_GAP = 20


class Extremes:
    """Pictures of the least and the most variable cells. The others are dropped, so that memory does not grow."""

    def __init__(self, each_end: int = EACH_END) -> None:
        self._each_end = each_end
        # Per structure, sorted by decreasing score: the least variable cell first.
        self._kept: dict[str, list[tuple[float, str, Rgb]]] = {}

    def offer(self, structure: str, score: float, caption: str, tile: Rgb) -> None:
        """Add a cell with its score (larger: less variable), its caption and its picture."""
        kept = self._kept.setdefault(structure, [])
        kept.append((score, caption, tile))
        kept.sort(key=lambda item: -item[0])
        if len(kept) > 2 * self._each_end:
            del kept[self._each_end]

    def sheet(self, title: str) -> Rgb:
        """Draw a row for each structure, from the least variable cell on the left to the most variable on the right.

        Returns
        -------
        array of uint8, (rows, columns, 3)
        """
        first = next(iter(self._kept.values()))[0][2]
        size = (_WIDTH, round(first.shape[0] * _WIDTH / first.shape[1]))
        lines = max(caption.count("\n") + 1 for row in self._kept.values() for _, caption, _ in row)
        row_height = size[1] + lines * _LINE + 2 * _MARGIN
        columns = max(len(row) for row in self._kept.values())
        width = _NAME + columns * (_WIDTH + _MARGIN) + _GAP + _MARGIN
        top = 4 * _LINE
        canvas = Image.new("RGB", (max(width, 640), top + row_height * len(self._kept)), "black")
        draw = ImageDraw.Draw(canvas)
        draw.text((_MARGIN, _MARGIN), title, fill="white", font=ImageFont.load_default(15))
        small, ends = ImageFont.load_default(11), (_NAME, width - _MARGIN - _WIDTH)
        for x, what in zip(ends, ("least variable", "most variable"), strict=True):
            draw.text((x, top - _LINE - 4), what, fill="white", font=small)
        for r, (structure, row) in enumerate(self._kept.items()):
            y = top + r * row_height
            draw.text((_MARGIN, y), structure, fill=colour_of(structure), font=ImageFont.load_default(14))
            for i, (_, caption, tile) in enumerate(row):
                # A gap shows that the cells between the two ends are left out.
                x = _NAME + i * (_WIDTH + _MARGIN) + (_GAP if i >= len(row) / 2 else 0)
                x += (columns - len(row)) * (_WIDTH + _MARGIN) if i >= len(row) / 2 else 0
                canvas.paste(Image.fromarray(tile).resize(size, Image.Resampling.BICUBIC), (x, y))
                draw.text((x, y + size[1] + 2), caption, fill="#bbbbbb", font=small, spacing=2)
        return np.asarray(canvas)
