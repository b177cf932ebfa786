"""A request for one cell: collected in the window on the main thread, cut out in the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.cropping import Window, is_in_memory, read_part
from napari_integrated_cell.imaging.labels import checked_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values, segment_at
from napari_integrated_cell.plugin.integrate.cell_window import window_at_point, window_of_label
from napari_integrated_cell.plugin.integrate.nuclei import has_nucleus
from napari_integrated_cell.plugin.integrate.refusals import Missed, MissingLayer, Refusal
from napari_integrated_cell.plugin.layers.place import ImageFrame
from napari_integrated_cell.processes import CancelToken, Progress

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
        Index (Z, Y, X) inside the cell. Without a segmentation it says which cell is meant.
    voxel_size : tuple of float
        In µm.
    image_frame : ImageFrame
        Where the image lies in the window.
    image_id : str
        Identifies the image, independent of the names of its layers.
    simulated : bool
        Whether the image is a simulation.
    number : int
        Of a cell that was chosen by a click and has no label.
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
    number: int = 1

    @property
    def key(self) -> str:
        """Identifies the cell in this viewer: a second request for the same cell has the same key."""
        which = f"label {self.label}" if self.cells is not None else f"point {self.point}"
        return f"{self.image_id}/{which}"

    @property
    def name(self) -> str:
        """The cell's name in the window. It is short: layer lists are narrow."""
        return f"cell {self.label}" if self.cells is not None else f"clicked cell {self.number}"

    @property
    def is_lazy(self) -> bool:
        """Whether something is read from a disk or a network to cut the cell out."""
        volumes = (*self.channels.values(), self.cells, self.nuclei)
        return not all(volume is None or is_in_memory(volume) for volume in volumes)

    def check(self) -> None:
        """Raise a :class:`Refusal` if something is missing to cut the cell out."""
        chosen = (self.point if self.cells is None else self.label) is not None
        if self.cells is None and not {"membrane", "dna"} <= set(self.channels):
            raise MissingLayer(
                "A cell without a segmentation is found by its stains: choose a membrane and a DNA layer, or a "
                "segmentation of the cells."
            )
        if self.cells is None and not chosen:
            raise Refusal("No cell is chosen: click it in the canvas, or segment the field.", "segment field")
        if not chosen:
            raise Refusal("No cell is chosen: give its label, or click it in the canvas.")
        if self.cells is not None and self.nuclei is None and "dna" not in self.channels:
            raise MissingLayer(
                "The nucleus is missing: choose a segmentation of the nuclei, or a DNA layer to find it in."
            )

    def cut(
        self,
        *,
        only: tuple[str, ...] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Cell:
        """Return the cell. Slow for lazy arrays and for cells without a segmentation: call it in a task.

        Of lazy arrays only the part around the cell is read. The background of a stain is always the most populous
        intensity of a part around the cell, never of the whole image.

        Parameters
        ----------
        only : tuple of str, optional
            The channels to cut out; all if left out.
        progress, cancel : optional
            Told what is read, and asked before each part.

        Raises
        ------
        Refusal
            If no cell is chosen, a layer is missing, or the cell has no nucleus.
        ValueError
            If the label does not exist, or no cell lies at the point.
        """
        self.check()
        voxel_size = checked_voxel_size(self.voxel_size)
        window = self._window(voxel_size, progress, cancel)

        def part(what: str, volume: Any) -> NDArray[Any]:
            return read_part(volume, window, what=f"reading {what}", progress=progress, cancel=cancel)

        finds_nucleus = self.nuclei is None or self.cells is None
        wanted = set(self.channels if only is None else only) | (
            {"membrane", "dna"} if finds_nucleus else set()
        )
        channels = {name: part(name, image) for name, image in self.channels.items() if name in wanted}
        cells, nuclei = self._segmentations(part, channels, window, voxel_size)
        # If all nuclei lie beside the cells, the segmentations do not fit together, and the library says so below.
        if (
            self.cells is not None
            and not has_nucleus(cells, nuclei, self.label or 0)
            and not self._all_nuclei_are_outside()
        ):
            raise Refusal(f"No nucleus lies in cell {self.label}: choose another cell.")
        cell = cell_from_labels(
            cells,
            self.label or 1,
            nuclei,
            {name: image for name, image in channels.items() if only is None or name in only},
            voxel_size,
            name=f"{self.image_frame.source}, {self.name}",
            source=self.image_frame.source,
        )
        z, y, x = (o + w.start for o, w in zip(cell.offset, window, strict=True))
        return replace(cell, offset=(z, y, x), metadata={**cell.metadata, "simulated": self.simulated})

    def _all_nuclei_are_outside(self) -> bool:
        """Return whether no voxel of a nucleus lies in any cell. Lazy segmentations are not read for this: False."""
        if self.nuclei is None or not (is_in_memory(self.cells) and is_in_memory(self.nuclei)):
            return False
        return not self.nuclei[self.cells != 0].any()

    def _window(
        self, voxel_size: tuple[float, float, float], progress: Progress | None, cancel: CancelToken | None
    ) -> Window:
        """Return the part of the image that is read: the cell, its nucleus and a margin."""
        if self.cells is None:
            assert self.point is not None
            return window_at_point(self.point, self.channels["membrane"].shape, voxel_size)
        label = self.label or 0
        window = window_of_label(
            self.cells, self.nuclei, label, self.point, voxel_size, progress=progress, cancel=cancel
        )
        if window is not None:
            return window
        there = label_values(self.cells) if is_in_memory(self.cells) else []
        listed = ", ".join(str(value) for value in there[:20]) + (", …" if len(there) > 20 else "")
        raise ValueError(
            f"There is no cell with label {label}"
            + (f"; the labels are {listed}." if listed else ": click a cell.")
        )

    def _segmentations(
        self,
        part: Callable[[str, Any], NDArray[Any]],
        channels: Mapping[str, NDArray[Any]],
        window: Window,
        voxel_size: tuple[float, float, float],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the segmentations of cells and nuclei in a part of the image. Without any, the cell has label 1."""
        if self.cells is None:
            assert self.point is not None
            z, y, x = (p - w.start for p, w in zip(self.point, window, strict=True))
            try:
                masks = segment_at(channels["membrane"], channels["dna"], (z, y, x), voxel_size)
            except ValueError as error:
                raise Missed(str(error)) from None
            return masks[0].astype(np.uint8), masks[1].astype(np.uint8)
        cells = checked_labels(part("cells", self.cells), "The Cells layer")
        if self.nuclei is not None:
            return cells, checked_labels(part("nuclei", self.nuclei), "The Nuclei layer")
        return cells, self._nucleus(cells, channels["dna"])

    def _nucleus(self, cells: NDArray[Any], dna: NDArray[Any]) -> NDArray[Any]:
        """Segment the nucleus by Otsu's threshold on the DNA inside the cell."""
        from scipy import ndimage
        from skimage.filters import threshold_otsu

        inside = cells == self.label
        values = dna[inside]
        if values.size == 0 or values.min() == values.max():
            return np.zeros_like(cells)
        bright = inside & (dna > threshold_otsu(values))
        pieces, n = ndimage.label(bright)
        sizes = np.bincount(pieces.ravel())[1:]
        # The chromatin of a dividing cell lies in two pieces: keep pieces of similar size.
        keep = np.flatnonzero(sizes >= max(_SMALLEST_NUCLEUS, 0.3 * sizes.max(initial=0))) + 1
        nucleus = ndimage.binary_fill_holes(np.isin(pieces, keep)) if n else bright
        return (nucleus & inside).astype(cells.dtype) * cells.dtype.type(self.label or 1)
