"""Axes of layers that hold more than one volume: channels and time points."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from napari.layers import Image, Layer

from napari_integrated_cell.plugin.layers.volumes import full_data
from napari_integrated_cell.vocabulary import recognise_channel

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
    stated = _stated_channels(layer)
    if stated is not None:
        return stated
    probable = _probable_channels(layer)
    return probable if probable is not None else _shortest(layer, _MOST_CHANNELS)


def time_axis(layer: Layer) -> int | None:
    """Return the axis of a layer's data that counts time points: the stated one, or else the first of more than three.

    An axis that probably counts channels is none of the three. The first of four axes may count either, if neither the
    layer nor its file says which.
    """
    if getattr(layer, "rgb", False) or layer.ndim <= 3:
        return None
    stated = _stated_time(layer)
    if stated is not None:
        return stated
    channels = _stated_channels(layer)
    if channels is None:
        channels = _probable_channels(layer)
        if channels == 0 and layer.ndim == 4:
            return 0
    others = [axis for axis in range(layer.ndim) if axis != channels]
    return next((axis for axis in others[:-3] if _shape(layer)[axis] > 1), None)


def more_likely_time(layer: Layer) -> bool:
    """Return whether an axis that may count channels or time points more likely counts time points."""
    if isinstance(layer, Image):
        return recognise_channel(layer.name) is not None  # the name is that of one channel
    return _shape(layer)[0] > 2  # cells and nuclei are two


def _probable_channels(layer: Layer) -> int | None:
    """Return a short axis beside a longer one, which is not stated to count time points."""
    if layer.ndim <= 3:
        return None
    short, lengths = _shortest(layer, _FEW_CHANNELS), _shape(layer)[:-2]
    return short if short is not None and lengths[short] < max(lengths) else None


def _shortest(layer: Layer, most: int) -> int | None:
    """Return the shortest axis before Y of a layer of more than three axes besides time, if it is at most so long."""
    shape, time = _shape(layer), _stated_time(layer)
    extra = range(len(shape) - 2) if len(shape) - (time is not None) > 3 else ()
    short = [axis for axis in extra if axis != time and 1 < shape[axis] <= most]
    return min(short, key=lambda axis: shape[axis], default=None)


def _stated_channels(layer: Layer) -> int | None:
    stated = _stated(layer, _CHANNEL_NAMES)
    return stated if stated is not None or layer.ndim <= 3 else _named_in_file(layer, "C")


def _stated_time(layer: Layer) -> int | None:
    """Return the axis that has a name or a unit of time, or that the file calls time."""
    stated = _stated(layer, _TIME_NAMES)
    if stated is not None or layer.ndim <= 3:
        return stated
    for axis, unit in enumerate(layer.units):
        if unit.is_compatible_with("second") and _shape(layer)[axis] > 1:
            return axis
    return _named_in_file(layer, "T")


def _named_in_file(layer: Layer, name: str) -> int | None:
    """Return the axis that a layer's TIFF file calls "C" or "T". Only metadata are read, once for each state of it."""
    path = layer.source.path
    if path is None or not str(path).lower().endswith(_TIFF):
        return None
    try:
        named = _axes_of_file(str(path), Path(path).stat().st_mtime_ns)
    except OSError:
        return None
    longer = [axis for axis, n in enumerate(_shape(layer)) if n > 1]
    if [n for _, n in named] != [_shape(layer)[axis] for axis in longer]:
        return None  # another image than the layer's
    return next((axis for axis, (each, _) in zip(longer, named, strict=True) if each == name), None)


@lru_cache(maxsize=64)
def _axes_of_file(path: str, changed: int) -> tuple[tuple[str, int], ...]:
    """Return the names and lengths of a file's axes that are longer than 1."""
    from napari_integrated_cell.imaging.opening import open_file

    try:
        scene = open_file(Path(path)).scene(0)
    except (ValueError, OSError):
        return ()
    return tuple((axis, int(n)) for axis, n in zip(scene.axes, scene.shape, strict=True) if n > 1)


def _stated(layer: Layer, names: set[str]) -> int | None:
    """Return the axis that has one of the names, if it is longer than 1."""
    for axis, name in enumerate(layer.axis_labels):
        if str(name).lower() in names and _shape(layer)[axis] > 1:
            return axis
    return None


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple(int(n) for n in full_data(layer).shape)
