"""Axes of layers that hold more than one volume: channels and time points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

if TYPE_CHECKING:
    from napari.layers import Layer

# An axis before Y that is at most this long may count channels.
_MOST_CHANNELS = 7
# Beside a longer axis, one that is at most this long probably counts channels.
_FEW_CHANNELS = 5
_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}
_TIME_NAMES = {"t", "time", "frame"}
_TIFF = (".tif", ".tiff", ".lsm", ".stk")


def channel_axis(layer: Layer) -> int | None:
    """Return the axis of a layer's data that counts channels, as stated or as its file says, or else a short one."""
    if getattr(layer, "rgb", False):
        return int(layer.ndim) if layer.ndim >= 3 else None
    probable = _probable_channels(layer)
    return probable if probable is not None else _shortest(layer, _MOST_CHANNELS)


def time_axis(layer: Layer) -> int | None:
    """Return the axis of a layer's data that counts time points: the stated one, or else the first of more than three.

    An axis that probably counts channels is none of the three.
    """
    if getattr(layer, "rgb", False) or layer.ndim <= 3:
        return None
    stated = _stated(layer, _TIME_NAMES)
    if stated is not None:
        return stated
    channels = _probable_channels(layer)
    others = [axis for axis in range(layer.ndim) if axis != channels]
    return next((axis for axis in others[:-3] if _shape(layer)[axis] > 1), None)


def _probable_channels(layer: Layer) -> int | None:
    """Return the axis that counts channels: the stated one, a short one beside a longer one, or what the file says."""
    stated = _stated(layer, _CHANNEL_NAMES)
    if stated is not None or layer.ndim <= 3 or not isinstance(layer, Image):
        return stated
    short, lengths = _shortest(layer, _FEW_CHANNELS), _shape(layer)[:-2]
    if short is not None and lengths[short] < max(lengths):
        return short
    return _channels_in_file(layer)


def _shortest(layer: Layer, most: int) -> int | None:
    """Return the shortest axis before Y of a layer of more than three axes, if it is at most so long."""
    shape, time = _shape(layer), _stated(layer, _TIME_NAMES)
    extra = range(len(shape) - 2) if len(shape) > 3 else ()
    short = [axis for axis in extra if axis != time and 1 < shape[axis] <= most]
    return min(short, key=lambda axis: shape[axis], default=None)


def _channels_in_file(layer: Layer) -> int | None:
    """Return the axis of channels that a layer's TIFF file names. Only metadata are read."""
    from napari_integrated_cell.imaging.opening import open_file

    path = layer.source.path
    if path is None or not str(path).lower().endswith(_TIFF):
        return None
    try:
        scene = open_file(Path(path)).scene(0)
    except (ValueError, OSError):
        return None
    named = [(axis, n) for axis, n in zip(scene.axes, scene.shape, strict=True) if n > 1]
    longer = [axis for axis, n in enumerate(_shape(layer)) if n > 1]
    if [n for _, n in named] != [_shape(layer)[axis] for axis in longer]:
        return None  # another image than the layer's
    return next((axis for axis, (name, _) in zip(longer, named, strict=True) if name == "C"), None)


def _stated(layer: Layer, names: set[str]) -> int | None:
    """Return the axis that has one of the names, if it is longer than 1."""
    for axis, name in enumerate(layer.axis_labels):
        if str(name).lower() in names and _shape(layer)[axis] > 1:
            return axis
    return None


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple(int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape)
