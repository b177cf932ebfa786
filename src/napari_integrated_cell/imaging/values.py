"""Check the values of a channel before anything is computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Up to this share of a channel may be NaN or infinite, as at the border of a registered stack.
_MOST_BROKEN = 0.5
_BINS = 256
# Sums of many larger values are beyond 32-bit floats.
_LARGEST = 1e18
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
        If more than half of the values are NaN or infinite, all values are the same, or one is above 1e18 in magnitude.
    """
    note = ""
    if volume.dtype.kind in "fc":
        good = np.isfinite(volume)
        broken = 1 - np.count_nonzero(good) / max(good.size, 1)
        if broken:
            _check_broken(broken, name)
            values = volume[good]
            _check_shows(values.min(), values.max(), name)
            background = _most_frequent(values[:: _step(len(values))])
            volume = np.where(good, volume, background)
            note = _replaced(broken, background, name)
    if volume.size:
        _check_shows(volume.min(), volume.max(), name)
    return volume, note


def replacement(volume: Any, name: str) -> tuple[Any, str]:
    """Return what :func:`finite` puts in place of NaN and infinite values, and its sentence, reading plane by plane.

    Parameters
    ----------
    volume : array-like, (Z, Y, X)
        ``volume[z]`` returns a plane.

    Returns
    -------
    value : number or None
        None if all values are finite.
    note : str

    Raises
    ------
    ValueError
        As :func:`finite`.
    """
    floating = np.dtype(volume.dtype).kind in "fc"
    count, size, extremes = 0, 0, list[Any]()
    for z in range(volume.shape[0]):
        plane = np.asarray(volume[z]).ravel()
        size += len(plane)
        plane = plane[np.isfinite(plane)] if floating else plane
        count += len(plane)
        extremes += [plane.min(), plane.max()] if len(plane) else []
    broken = 1 - count / max(size, 1)
    if not broken:
        _check_shows(min(extremes), max(extremes), name)
        return None, ""
    _check_broken(broken, name)
    _check_shows(min(extremes), max(extremes), name)
    step, before, sample = _step(count), 0, list[NDArray[Any]]()
    for z in range(volume.shape[0]):
        plane = np.asarray(volume[z]).ravel()
        plane = plane[np.isfinite(plane)]
        sample.append(plane[-before % step :: step])
        before += len(plane)
    background = _most_frequent(np.concatenate(sample))
    return background, _replaced(broken, background, name)


def _check_broken(broken: float, name: str) -> None:
    if broken > _MOST_BROKEN:
        raise ValueError(
            f"The channel {name} is NaN or infinite in {broken:.0%} of its voxels: give an image with values there."
        )


def _check_shows(low: Any, high: Any, name: str) -> None:
    if low == high:
        raise ValueError(
            f"The channel {name} is {low:g} everywhere, so it shows nothing: choose another channel or image."
        )
    if not max(-float(low), float(high)) <= _LARGEST:
        raise ValueError(
            f"The channel {name} has values from {low:.3g} to {high:.3g}, which are too large to compute with: give an "
            "image with values below 1e18."
        )


def _replaced(broken: float, background: Any, name: str) -> str:
    share = f"{broken:.1%}" if broken >= 0.001 else "less than 0.1%"
    return f"The channel {name} is NaN or infinite in {share} of its voxels: they became {background:g}."


def _step(count: int) -> int:
    """Return the distance between the values of a sample of so many."""
    return max(1, count // _SAMPLE)


def _most_frequent(values: NDArray[Any]) -> Any:
    """Return the middle of the most populous of the bins between the 1st and 99th percentile."""
    low, high = np.percentile(values.astype(np.float64), (1, 99))
    if not low < high:
        return values.dtype.type(low)
    counts, edges = np.histogram(values, _BINS, (low, high))
    most = int(counts.argmax())
    inside = values[(values >= edges[most]) & (values <= edges[most + 1])]
    return values.dtype.type(np.median(inside))
