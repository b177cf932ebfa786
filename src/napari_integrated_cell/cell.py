"""One cell: its channels, masks and voxel size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Mask

#: Shortest and longest edge of a light microscope's voxel, in µm.
SMALLEST_EDGE, LARGEST_EDGE = 0.005, 20.0


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell cut out of an image.

    Parameters
    ----------
    channels : mapping of str to array, each (Z, Y, X)
        Intensity images by the vocabulary's names (``"membrane"``, ``"dna"``, a structure's name). Missing reference
        images are rendered from the masks (:func:`napari_integrated_cell.imaging.rendering.render_references`).
    cell_mask, nucleus_mask : array of bool, (Z, Y, X)
        Masks of the cell, and of its nucleus or condensed chromatin.
    voxel_size : tuple of float
        Edge lengths (Z, Y, X) of a voxel in µm.
    name : str
        Name of the cell, e.g. ``"field 3, cell 7"``.
    source : str
        Origin of the cell: a path, a layer, or ``"simulated"``.
    offset : tuple of int
        Index (Z, Y, X) of this crop's first voxel in the source image.
    metadata : mapping
        Any other facts (stage, label, ground truth, specks that were left out, ...).

    Raises
    ------
    ValueError
        For arrays that are not (Z, Y, X) or differ in shape, a voxel size that is missing, negative or not finite,
        NaN or infinite intensities, empty masks, and a nucleus that lies outside the cell.
    """

    channels: Mapping[str, NDArray[Any]]
    cell_mask: Mask
    nucleus_mask: Mask
    voxel_size: tuple[float, float, float]
    name: str = "cell"
    source: str = ""
    offset: tuple[int, int, int] = (0, 0, 0)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cell_mask = _mask(self.cell_mask, f"cell mask of {self.name!r}")
        nucleus_mask = _mask(self.nucleus_mask, f"nucleus mask of {self.name!r}")
        voxel_size = checked_voxel_size(self.voxel_size)
        channels = {name: np.asarray(image) for name, image in self.channels.items()}
        for what, image in {**channels, "nucleus mask": nucleus_mask}.items():
            if image.shape != cell_mask.shape:
                raise ValueError(
                    f"The {what} of {self.name!r} has shape {image.shape} but its cell mask has shape "
                    f"{cell_mask.shape}: give images and masks on the same (Z, Y, X) grid."
                )
        for name, image in channels.items():
            if np.issubdtype(image.dtype, np.complexfloating) or image.dtype == object:
                raise ValueError(
                    f"Channel {name!r} of {self.name!r} is not a real-valued image ({image.dtype})."
                )
            if not np.isfinite(image).all():
                raise ValueError(
                    f"Channel {name!r} of {self.name!r} holds NaN or infinite values: replace them, for example "
                    "with the background intensity, before opening it."
                )
        if not (cell_mask & nucleus_mask).any():
            raise ValueError(
                f"The nucleus of {self.name!r} lies entirely outside its cell: check that both masks come from the "
                "same image and carry the same label."
            )
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        set_ = object.__setattr__
        set_(self, "cell_mask", cell_mask)
        set_(self, "nucleus_mask", nucleus_mask)
        set_(self, "voxel_size", voxel_size)
        set_(self, "channels", MappingProxyType(channels))
        set_(self, "metadata", MappingProxyType(dict(self.metadata)))

    def __repr__(self) -> str:
        size = "; ".join(f"{n} × {v:.4g} µm" for n, v in zip(self.shape, self.voxel_size, strict=True))
        channels = ", ".join(self.channels) or "no channels"
        return f"<Cell {self.name!r}: {channels}; {size} (Z; Y; X); {self.volume:,.0f} µm³>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid (Z, Y, X) of every channel and mask."""
        z, y, x = self.cell_mask.shape
        return z, y, x

    @property
    def volume(self) -> float:
        """Volume of the cell mask in µm³."""
        return float(self.cell_mask.sum() * np.prod(self.voxel_size))

    @property
    def nucleus_volume(self) -> float:
        """Volume of the nucleus mask in µm³."""
        return float(self.nucleus_mask.sum() * np.prod(self.voxel_size))


def checked_voxel_size(voxel_size: Any) -> tuple[float, float, float]:
    """Return ``voxel_size`` as three floats (Z, Y, X) in µm.

    Raises
    ------
    ValueError
        If it is missing, does not have three entries, or an entry is not positive and finite, or is below 0.005 µm or
        above 20 µm.
    """
    if voxel_size is None:
        raise ValueError(
            "The voxel size is missing: give it in µm as (Z, Y, X), for example 0.29,0.108,0.108."
        )
    try:
        values = tuple(float(v) for v in voxel_size)
    except (TypeError, ValueError):
        raise ValueError(f"The voxel size {voxel_size!r} is not three numbers (Z, Y, X) in µm.") from None
    if len(values) != 3:
        raise ValueError(
            f"The voxel size {voxel_size!r} has {len(values)} entries: give three, (Z, Y, X), in µm."
        )
    if not all(np.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"The voxel size {values} must be positive and finite in every axis: give it in µm.")
    if not all(SMALLEST_EDGE <= v <= LARGEST_EDGE for v in values):
        listed = " x ".join(f"{v:g}" for v in values)
        raise ValueError(
            f"The voxel size {listed} (Z, Y, X) is not one of a light microscope in µm, between {SMALLEST_EDGE:g} and "
            f"{LARGEST_EDGE:g}: give it in µm."
        )
    return values


def _mask(mask: Any, what: str) -> Mask:
    """Return ``mask`` as a 3D boolean array that is not empty."""
    if mask is None:
        raise ValueError(f"The {what} is missing: a cell needs a mask of the cell and a mask of the nucleus.")
    array = np.asarray(mask)
    if array.ndim != 3:
        raise ValueError(f"The {what} has {array.ndim} dimensions: give a volume (Z, Y, X).")
    array = array != 0
    if not array.any():
        raise ValueError(f"The {what} is empty: choose a label that exists in the segmentation.")
    return array
