"""An opened image file and its scenes, whatever its format and reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.imaging.formats.sizes import StatedSize

# A name that a reader or writer made up.
_STAND_IN = re.compile(r"|(Channel|C):\d+(:\d+)?")


@dataclass(frozen=True, eq=False)
class ImageScene:
    """One image of a file. Nothing of its pixels is read yet.

    Attributes
    ----------
    axes : str
        One letter for each dimension, in the file's order, with Y and X: T, C, Z, Y, X, S (samples of a colour), or
        I for planes whose axis the file does not name.
    shape : tuple of int
        One length for each letter.
    dtype : numpy.dtype
        As in the file.
    channel_names : tuple of str
        As in the file; may be fewer or more than there are channels.
    size : StatedSize
        What the file states about the voxel size.
    array : callable
        Called with ``lazy``: returns the pixels with these axes, as a dask array of one plane per chunk, or at once.
    notes : tuple of str
        What is not sound in the file, in sentences.
    refusal : Exception or None
        Why the scene cannot be read as the file describes it.
    channels : int or None
        How many channels the unnamed planes hold, if the file says so.
    strict : bool
        Whether the file's metadata are sound, so that every reader understands them.
    ome : bool
        Whether they are OME-XML.
    interval : float or None
        Seconds from one time point to the next, as the file states them.
    at_once : callable, optional
        Returns the same pixels as ``array(False)``, without a library.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    channel_names: tuple[str, ...]
    size: StatedSize
    array: Callable[[bool], Any]
    notes: tuple[str, ...] = ()
    refusal: Exception | None = None
    channels: int | None = None
    strict: bool = False
    ome: bool = False
    interval: float | None = None
    at_once: Callable[[], Any] | None = None

    def refusing(
        self, refusal: Exception, channel_names: tuple[str, ...] = (), channels: int | None = None
    ) -> ImageScene:
        """Return this scene with the reason why it cannot be read as the file describes it."""
        return replace(
            self, refusal=refusal, channel_names=channel_names, channels=channels, notes=(), strict=False
        )

    def noting(self, note: str) -> ImageScene:
        """Return this scene with one more note."""
        return replace(self, notes=(*self.notes, note), strict=False)

    def unnamed(self) -> ImageScene:
        """Return this scene with axes that have no names."""
        return replace(self, axes="".join("I" if axis in "TCZ" else axis for axis in self.axes))

    def length(self, axis: str) -> int:
        """Return the length of an axis; 1 if the scene has no such axis."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


@dataclass(frozen=True, eq=False)
class OpenedFile:
    """A file's scenes by name, and what each one holds.

    Attributes
    ----------
    scene : callable
        Called with an index: returns the :class:`ImageScene`.
    """

    path: Path
    scene_names: tuple[str, ...]
    scene: Callable[[int], ImageScene]


def names_of_channels(given: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return ``count`` different names. A missing name, or one that a reader made up, becomes ``"channel 1"``."""
    names = [*given, *[""] * count][:count]
    taken: list[str] = []
    for i, name in enumerate(names):
        again = name = f"channel {i}" if _STAND_IN.fullmatch(name) else name
        number = 1
        while again in taken:
            number += 1
            again = f"{name} ({number})"
        taken.append(again)
    return tuple(taken)
