"""Axes of layers that hold more than one volume: channels and time points."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

# An axis before Y that is at most this long may count channels.
_MOST_CHANNELS = 7
_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}
_TIME_NAMES = {"t", "time", "frame"}


def channel_axis(layer: Layer) -> int | None:
    """Return the axis of a layer's data that counts channels: the stated one, else a short one; None without one."""
    if getattr(layer, "rgb", False):
        return int(layer.ndim) if layer.ndim >= 3 else None
    stated = _stated(layer, _CHANNEL_NAMES)
    if stated is not None:
        return stated
    shape, time = _shape(layer), _stated(layer, _TIME_NAMES)
    extra = range(max(len(shape) - 2, 0)) if len(shape) > 3 else ()
    short = [axis for axis in extra if axis != time and 1 < shape[axis] <= _MOST_CHANNELS]
    return min(short, key=lambda axis: shape[axis], default=None)


def time_axis(layer: Layer) -> int | None:
    """Return the axis of a layer's data that counts time points: the stated one, else the first of more than three."""
    if getattr(layer, "rgb", False) or layer.ndim <= 3:
        return None
    stated = _stated(layer, _TIME_NAMES)
    if stated is not None:
        return stated
    channels = _stated(layer, _CHANNEL_NAMES)
    free = [axis for axis in range(layer.ndim - 3) if axis != channels and _shape(layer)[axis] > 1]
    return free[0] if free else None


def _stated(layer: Layer, names: set[str]) -> int | None:
    """Return the axis that has one of the names, if it is longer than 1."""
    for axis, name in enumerate(layer.axis_labels):
        if str(name).lower() in names and _shape(layer)[axis] > 1:
            return axis
    return None


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple(int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape)
