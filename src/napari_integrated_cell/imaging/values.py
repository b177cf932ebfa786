"""Check the values of a channel before anything is computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Up to this share of a channel may be NaN or infinite, as at the border of a registered stack.
_MOST_BROKEN = 0.5
_BINS = 256
_SAMPLE = 1_000_000


def finite(volume: NDArray[Any], name: str) -> tuple[NDArray[Any], str]:
    """Return a channel without NaN and infinite values, and a sentence about them.

    They become the channel's background: its most frequent finite value.

    Parameters
    ----------
    volume : array, (Z, Y, X)
    name : str
        How the channel is called in a sentence.

    Returns
    -------
    volume : array, (Z, Y, X)
        The same array if all values are finite.
    note : str
        Says how many voxels were replaced; empty if none was.

    Raises
    ------
    ValueError
        If more than half of the values are NaN or infinite, or all values are the same.
    """
    note = ""
    if volume.dtype.kind in "fc":
        good = np.isfinite(volume)
        broken = 1 - np.count_nonzero(good) / max(good.size, 1)
        if broken > _MOST_BROKEN:
            raise ValueError(
                f"The channel {name} is NaN or infinite in {broken:.0%} of its voxels: give an image with values there."
            )
        if broken:
            background = _most_frequent(volume[good])
            volume = np.where(good, volume, background)
            share = f"{broken:.1%}" if broken >= 0.001 else "less than 0.1%"
            note = (
                f"The channel {name} is NaN or infinite in {share} of its voxels: they became {background:g}."
            )
    if volume.size and volume.min() == volume.max():
        value = volume.flat[0]
        raise ValueError(
            f"The channel {name} is {value:g} everywhere, so it shows nothing: choose another channel or image."
        )
    return volume, note


def _most_frequent(values: NDArray[Any]) -> Any:
    """Return the middle of the most populous of the bins between the 1st and 99th percentile."""
    values = values[:: max(1, len(values) // _SAMPLE)]
    low, high = np.percentile(values.astype(np.float64), (1, 99))
    if not low < high:
        return values.dtype.type(low)
    counts, edges = np.histogram(values, _BINS, (low, high))
    most = int(counts.argmax())
    inside = values[(values >= edges[most]) & (values <= edges[most + 1])]
    return values.dtype.type(np.median(inside))
