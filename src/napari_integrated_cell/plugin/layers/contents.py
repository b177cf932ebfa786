"""What the pixels of a volume show, from a small part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.imaging.labels import looks_like_labels

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_integrated_cell.imaging.stains import Appearance


@dataclass(frozen=True, eq=False)
class Content:
    """A few planes of a volume, and what they show.

    Attributes
    ----------
    planes : array, (N, Y, X)
        The middle of a few planes.
    labels : bool
        Whether they hold labels, and not intensities.
    """

    planes: NDArray[Any]
    labels: bool

    @cached_property
    def appearance(self) -> Appearance | None:
        """What the bright part looks like; None without contrast."""
        from napari_integrated_cell.imaging.stains import appearance_of

        return appearance_of(self.planes)

    @property
    def filled(self) -> float:
        """The share of voxels that are not 0."""
        return float(np.count_nonzero(self.planes) / max(self.planes.size, 1))


ContentOf = Callable[["Layer"], Content | None]
"""Returns what a layer shows; None while it is not known."""


def look_at(volume: Any, labels: bool = False) -> Content:
    """Return what a volume (Z, Y, X) shows. ``labels`` says that it is known to hold labels."""
    from napari_integrated_cell.imaging.stains import sample

    planes = sample(volume)
    return Content(planes, labels or looks_like_labels(planes))
