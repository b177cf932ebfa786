"""Which cells of a segmentation in memory have a nucleus, and which label the dock starts with."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import NDArray

# A smaller part of a cell is no nucleus. The library, which cuts the cell out, asks for the same share.
_LEAST = 0.003
# A cell with fewer nuclear voxels than this, relative to the cell with the most, is not offered: a nucleus of a
# neighbour may reach over by some voxels.
_SPECK = 0.1


def has_nucleus(cells: NDArray[Any], nuclei: NDArray[Any], label: int) -> bool:
    """Return whether enough of a cell is nuclear. Both segmentations are on one grid, (Z, Y, X)."""
    inside = nuclei[cells == label] != 0
    return bool(inside.any() and inside.mean() >= _LEAST)


def offered_label(cells: NDArray[Any], nuclei: NDArray[Any] | None, *preferred: int) -> int:
    """Return the label of a cell that the dock can start with.

    Parameters
    ----------
    cells : array, (Z, Y, X)
    nuclei : array, (Z, Y, X), or None
        On the same grid.
    preferred : int
        Labels to take if they are there and have a nucleus, the best first.

    Returns
    -------
    int
        The lowest label with a nucleus, if no preferred one has any. Without nuclei it is the highest label, and 0 if
        there are no cells.
    """
    with_nucleus = _labels_with_nucleus(cells, nuclei) if nuclei is not None else set()
    for label in preferred:
        if label in with_nucleus:
            return label
    if with_nucleus:
        return min(with_nucleus)
    highest = int(cells.max(initial=0))
    for label in preferred:
        if 0 < label <= highest and (cells == label).any():
            return label
    return highest


def _labels_with_nucleus(cells: NDArray[Any], nuclei: NDArray[Any]) -> set[int]:
    inside = cells[nuclei != 0]
    inside = inside[inside != 0]
    # pandas counts by hashing, much faster than numpy sorts. It takes the byte order of this computer only.
    counts = pd.Series(inside.astype(inside.dtype.newbyteorder("="), copy=False)).value_counts()
    return {int(label) for label in counts.index[counts >= _SPECK * counts.max()]} if len(counts) else set()
