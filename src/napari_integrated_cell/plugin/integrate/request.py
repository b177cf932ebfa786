"""A request for one cell: collected in the window on the main thread, cut out in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell, checked_voxel_size

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.layers.place import ImageFrame

_SMALLEST_NUCLEUS = 8  # voxels: fewer are noise


@dataclass(frozen=True, eq=False)
class CellRequest:
    """One cell of an image that is not cut out yet.

    Attributes
    ----------
    channels : mapping of str to array, (Z, Y, X)
        ``"membrane"`` and ``"dna"`` if there are stains, and others by name. Arrays may be lazy.
    cells, nuclei : array of int, (Z, Y, X), or None
        Segmentations, if there are any.
    label : int or None
        The cell's label in ``cells``.
    point : tuple of int or None
        Index (Z, Y, X) inside the cell, if there is no segmentation.
    voxel_size : tuple of float
        In µm.
    image_frame : ImageFrame
        Where the image lies in the window.
    image_id : str
        Identifies the image, independent of the names of its layers.
    simulated : bool
        Whether the image is a simulation.
    """

    channels: Mapping[str, Any]
    cells: Any
    nuclei: Any
    label: int | None
    point: tuple[int, int, int] | None
    voxel_size: tuple[float, float, float]
    image_frame: ImageFrame
    image_id: str
    simulated: bool = False

    @property
    def key(self) -> str:
        """Identifies the cell in this viewer: a second request for the same cell has the same key."""
        which = f"label {self.label}" if self.cells is not None else f"point {self.point}"
        return f"{self.image_id}/{which}"

    @property
    def name(self) -> str:
        """The cell's name in the window."""
        if self.cells is not None:
            return f"cell {self.label}"
        return f"cell at {', '.join(str(i) for i in self.point or ())}"

    def cut(self, *, only: tuple[str, ...] | None = None) -> Cell:
        """Return the cell. Slow for lazy arrays and for cells without a segmentation: call it in a task.

        Parameters
        ----------
        only : tuple of str, optional
            The channels to cut out; all if left out.

        Raises
        ------
        ValueError
            If the label does not exist, no cell lies at the point, or a layer is missing.
        """
        from napari_integrated_cell.imaging.segmenting import cell_from_labels, segment_at

        voxel_size = checked_voxel_size(self.voxel_size)
        channels = {k: np.asarray(v) for k, v in self.channels.items() if only is None or k in only}
        source = self.image_frame.source
        if self.cells is not None:
            if self.label is None:
                raise ValueError("No cell is chosen: give its label, or click it.")
            cells, label = np.asarray(self.cells), self.label
            nuclei = np.asarray(self.nuclei) if self.nuclei is not None else self._nucleus(cells, channels)
        else:
            if self.point is None:
                raise ValueError(
                    "No cell is chosen: press 'Click the cell' and click it, or choose a segmentation."
                )
            if "membrane" not in channels or "dna" not in channels:
                raise ValueError(
                    "A cell without a segmentation is found by its stains: choose a membrane and a DNA "
                    "layer, or a Labels layer of the cells."
                )
            masks = segment_at(channels["membrane"], channels["dna"], self.point, voxel_size)
            (cells, nuclei), label = (mask.astype(np.uint8) for mask in masks), 1
        cell = cell_from_labels(
            cells, label, nuclei, channels, voxel_size, name=f"{source}, {self.name}", source=source
        )
        return replace(cell, metadata={**cell.metadata, "simulated": self.simulated})

    def _nucleus(self, cells: NDArray[Any], channels: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Segment the nucleus by Otsu's threshold on the DNA inside the cell."""
        from scipy import ndimage
        from skimage.filters import threshold_otsu

        if "dna" not in channels:
            raise ValueError(
                "The nucleus is missing: choose a Labels layer of the nuclei, or a DNA layer to find it in."
            )
        inside = cells == self.label
        values = channels["dna"][inside]
        if values.size == 0 or values.min() == values.max():
            return np.zeros(cells.shape, np.uint8)
        bright = inside & (channels["dna"] > threshold_otsu(values))
        pieces, n = ndimage.label(bright)
        sizes = np.bincount(pieces.ravel())[1:]
        # The chromatin of a dividing cell lies in two pieces: keep pieces of similar size.
        keep = np.flatnonzero(sizes >= max(_SMALLEST_NUCLEUS, 0.3 * sizes.max(initial=0))) + 1
        nucleus = ndimage.binary_fill_holes(np.isin(pieces, keep)) if n else bright
        return (nucleus & inside).astype(cells.dtype) * cells.dtype.type(self.label or 1)
