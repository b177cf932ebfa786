"""How points become pixels: the window onto the plane, and discs stamped into an image. numpy only, no Qt.

A redraw of 200,000 points costs some milliseconds on one CPU core, with or without a graphics card; what moves
over them is painted on top and costs none of it (``benchmarks/scatter.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MARGIN = 0.06  # of the points' range on every side of them
_SMOOTH = 20_000  # up to so many points the edges of discs are smoothed


@dataclass(frozen=True)
class View:
    """Which part of the plane is seen in a picture of ``width`` by ``height`` pixels.

    Attributes
    ----------
    x, y : float
        The plane's point in the middle of the picture.
    across, up : float
        How much of the plane a pixel is, along x and y.
    width, height : int
        Pixels.
    """

    x: float = 0.0
    y: float = 0.0
    across: float = 0.02
    up: float = 0.02
    width: int = 1
    height: int = 1

    def around(self, points: NDArray[np.floating]) -> Self:
        """All of the points (N, 2), with a margin."""
        if not len(points):
            return replace(self, x=0.0, y=0.0, across=6 / self.width, up=6 / self.height)
        low, high = points.min(0).astype(float), points.max(0).astype(float)
        size = np.maximum(high - low, 1e-6 + 1e-6 * np.abs(high)) * (1 + 2 * _MARGIN)
        x, y = (low + high) / 2
        return replace(self, x=x, y=y, across=size[0] / self.width, up=size[1] / self.height)

    @property
    def part(self) -> tuple[float, float, float, float]:
        """Which part of the plane is seen: left, bottom, right, top."""
        right, up = self.across * self.width / 2, self.up * self.height / 2
        return self.x - right, self.y - up, self.x + right, self.y + up

    def onto(self, part: tuple[float, float, float, float]) -> Self:
        """Another part of the plane in a picture of this size."""
        left, bottom, right, top = part
        across, up = (right - left) / self.width, (top - bottom) / self.height
        return replace(self, x=(left + right) / 2, y=(bottom + top) / 2, across=across, up=up)

    def resized(self, width: int, height: int) -> Self:
        """The same part of the plane in a picture of another size."""
        width, height = max(1, width), max(1, height)
        return replace(
            self,
            across=self.across * self.width / width,
            up=self.up * self.height / height,
            width=width,
            height=height,
        )

    def panned(self, right: float, down: float) -> Self:
        """With the picture's content moved by so many pixels."""
        return replace(self, x=self.x - right * self.across, y=self.y + down * self.up)

    def zoomed(self, factor: float, column: float, row: float) -> Self:
        """``factor`` times as large, the point under a pixel staying where it is."""
        x, y = self.to_plane((column, row))
        closer = replace(self, across=self.across / factor, up=self.up / factor)
        moved_x, moved_y = closer.to_plane((column, row))
        return replace(closer, x=closer.x + x - moved_x, y=closer.y + y - moved_y)

    def to_pixels(self, points: ArrayLike) -> NDArray[Any]:
        """Columns and rows (N, 2) of points (N, 2) or of one (2,)."""
        p = np.asarray(points)
        column = (p[..., 0] - self.x) / self.across + self.width / 2
        row = (self.y - p[..., 1]) / self.up + self.height / 2
        return np.stack([column, row], axis=-1)

    def to_plane(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """The points (N, 2) that lie at pixels (N, 2), or the one (2,) at (2,)."""
        p = np.asarray(pixels, float)
        x = (p[..., 0] - self.width / 2) * self.across + self.x
        y = self.y - (p[..., 1] - self.height / 2) * self.up
        return np.stack([x, y], axis=-1)

    def nearest(self, points: NDArray[Any], column: float, row: float, within: float) -> int:
        """Which of the points (N, 2) is seen nearest to a pixel, at most ``within`` pixels away; or -1."""
        if not len(points):
            return -1
        x, y = self.to_plane((column, row))
        squared = ((points[:, 0] - x) / self.across) ** 2 + ((points[:, 1] - y) / self.up) ** 2
        found = int(squared.argmin())
        return found if squared[found] <= within**2 else -1


def diameter_for(n_points: int) -> float:
    """How large a point is drawn, in pixels: the more there are the smaller."""
    return 6.0 if n_points <= 2_000 else 4.5 if n_points <= 20_000 else 3.0


def smoothing_for(n_points: int) -> int:
    """How many times finer than the screen points are stamped before the picture is shrunk to it."""
    return 2 if n_points <= _SMOOTH else 1


def stamped(
    view: View, x: NDArray[np.float32], y: NDArray[np.float32], colours: NDArray[np.uint32], diameter: float
) -> NDArray[np.uint32]:
    """Points (N,) as discs in a picture (height, width) of their colours; later points lie over earlier ones.

    Parameters
    ----------
    view : View
        What is seen, in the picture's own pixels.
    x, y : array of float32, (N,)
    colours : array of uint32, (N,)
        As Qt's ``Format_ARGB32`` has them. Where no point is, the picture is 0, which is clear.
    diameter : float
        Of a disc, in the picture's pixels.
    """
    reach = int(diameter / 2)
    rim = 2 * reach + 1
    columns, rows = view.width + 2 * rim, view.height + 2 * rim
    picture = np.zeros(rows * columns, np.uint32)
    column = x * np.float32(1 / view.across)
    column += np.float32(view.width / 2 - view.x / view.across)
    row = y * np.float32(-1 / view.up)
    row += np.float32(view.height / 2 + view.y / view.up)
    # A disc may reach into the picture from outside it: a rim takes what lies over the edge.
    seen = (column >= -reach) & (column < view.width + reach)
    seen &= (row >= -reach) & (row < view.height + reach)
    if not seen.all():
        column, row, colours = column[seen], row[seen], colours[seen]
    at = np.floor(row).astype(np.intp)
    at += rim
    at *= columns
    at += np.floor(column).astype(np.intp)
    at += rim
    if len(at) < picture.size:
        for offset in _disc(diameter, columns):
            picture[at + offset] = colours
    else:  # fewer pixels than points: the picture itself is spread
        picture[at] = colours
        picture = _spread(picture, _disc(diameter, columns))
    return picture.reshape(rows, columns)[rim:-rim, rim:-rim]


def _spread(dots: NDArray[np.uint32], offsets: list[int]) -> NDArray[np.uint32]:
    """Every dot grown to a disc where there is no other dot."""
    picture, n = dots.copy(), len(dots)
    for offset in sorted(offsets, key=abs):
        to = picture[max(offset, 0) : n + min(offset, 0)]
        np.copyto(to, dots[max(-offset, 0) : n - max(offset, 0)], where=to == 0)
    return picture


def _disc(diameter: float, columns: int) -> list[int]:
    """The pixels of a disc as steps in a flat picture, from its middle."""
    reach = int(diameter / 2)
    steps = range(-reach, reach + 1)
    return [i * columns + j for i in steps for j in steps if i * i + j * j <= (diameter / 2) ** 2 + 0.25]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two."""
    if not high > low:
        return []
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = ceil(low / step), floor(high / step)
    return [i * step for i in range(first, last + 1)]
