"""Cut one cell out of a field by its label, or segment it by a seeded watershed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Labels, Mask
from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.cropping import grown
from napari_integrated_cell.imaging.pieces import LeftOut, largest_pieces, left_out_metadata
from napari_integrated_cell.imaging.watershed import Segmentation, segment
from napari_integrated_cell.processes import CancelToken, Progress, slices

__all__ = ["cell_from_labels", "label_values", "segment_at", "segment_field", "touches_edge", "window_around"]

# Half width (µm) of the window around a click. hiPSCs are up to 43 µm long.
_WINDOW = 45.0
# Largest distance (µm) of a click from the cell it selects.
_NEAR = 3.0
# A label of fewer voxels is a stray one.
_FEWEST = 30
# A label with a smaller share of a cell's nuclear voxels than this, relative to the most frequent one, is a speck.
_SPECK = 0.1
# A smaller part of a cell is no nucleus. Condensed chromatin is a tenth of a cell.
_LEAST_NUCLEUS = 0.003
# A larger label that covers this share of a cell is no nucleus of it.
_COVERS = 0.95
_EXCHANGED = (
    "The nucleus of cell {} is larger than the cell: are the label images of cells and nuclei exchanged?"
)


class OtherNuclei(NamedTuple):
    """Nuclei in a cell that have other labels than its nucleus, each as its size relative to that nucleus.

    Attributes
    ----------
    used : tuple of float
        Those that lie mostly in the cell. They belong to its nucleus.
    reaching : tuple of float
        The parts in the cell of those that lie mostly outside. They do not.
    """

    used: tuple[float, ...] = ()
    reaching: tuple[float, ...] = ()


def label_values(labels: NDArray[Any]) -> list[int]:
    """Return the sorted labels of a segmentation of any shape, without 0, the background."""
    return [int(value) for value in np.unique(np.asarray(labels)) if value != 0]


def touches_edge(mask: NDArray[Any]) -> tuple[str, ...]:
    """Return the axes along which a mask (Z, Y, X) touches the image's edge, where it may be cut off."""
    mask = np.asarray(mask)
    return tuple(
        axis
        for i, axis in enumerate("ZYX")
        if np.take(mask, 0, axis=i).any() or np.take(mask, -1, axis=i).any()
    )


def cell_from_labels(
    cell_labels: NDArray[Any],
    label: int,
    nucleus_labels: NDArray[Any],
    channels: Mapping[str, NDArray[Any]] | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    *,
    margin: float = 1.0,
    name: str | None = None,
    source: str = "",
) -> Cell:
    """Cut the cell with one label out of a field, with a margin.

    Parameters
    ----------
    cell_labels, nucleus_labels : array of int, (Z, Y, X)
        Specks are left out (:func:`~napari_integrated_cell.imaging.pieces.largest_pieces`). The nucleus has the cell's
        label if that label occurs in the cell. Otherwise it is what lies in the cell of the label that is most frequent
        there. Nuclei with other labels belong to it as pieces of one label do: if at least half of one lies in the
        cell, and it has a tenth of the size of the largest.
    label : int
        Label of the cell.
    channels : mapping of str to array, each (Z, Y, X), optional
        The field's channels by the vocabulary's names.
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    margin : float
        Margin around the cell in µm, cut off at the field's edge.
    name, source : str, optional
        Name and source of the cell; the name is ``"cell <label>"`` by default.

    Returns
    -------
    Cell
        With its ``offset`` in the field. Its metadata hold the label; if the cell touches the field's edge, the axes
        along which it does (``"touches_edge"``); if there are nuclei with other labels, an :class:`OtherNuclei`
        (``"other_nuclei"``); and if specks of the cell or the nucleus were left out, a
        :class:`~napari_integrated_cell.imaging.pieces.LeftOut` of each (``"left_out"``).

    Raises
    ------
    ValueError
        If shapes differ, there is no such label, its voxels are too few for a cell, no nucleus lies in the cell, the
        nucleus is larger than the cell, or the voxel size is missing.
    """
    voxel_size = checked_voxel_size(voxel_size)
    cells, nuclei = np.asarray(cell_labels), np.asarray(nucleus_labels)
    images = {n: np.asarray(image) for n, image in (channels or {}).items()}
    for what, image in {"nucleus labels": nuclei, **images}.items():
        if cells.ndim != 3 or image.shape != cells.shape:
            raise ValueError(
                f"The cell labels have shape {cells.shape} but the {what} {image.shape}: give both on one "
                "(Z, Y, X) grid."
            )
    in_cell = cells == label
    if label == 0 or not in_cell.any():
        raise ValueError(
            f"There is no cell with label {label}; the labels are {_listed(label_values(cells))}."
        )
    in_cell, of_cell = largest_pieces(in_cell)
    voxels = int(in_cell.sum())
    if voxels < _FEWEST:
        raise ValueError(f"Label {label} has {voxels} connected voxels: it is a stray label and no cell.")
    in_nucleus, of_nucleus, others = _nucleus_in(in_cell, nuclei, int(label))
    if in_nucleus.sum() > voxels:
        raise ValueError(_EXCHANGED.format(label))

    (extent,) = ndimage.find_objects((in_cell | in_nucleus).view(np.uint8))
    z, y, x = (int(np.ceil(margin / step)) for step in voxel_size)
    around = grown(extent, (z, y, x), cells.shape)
    edges = touches_edge(in_cell)
    return Cell(
        {n: image[around] for n, image in images.items()},
        in_cell[around],
        in_nucleus[around],
        voxel_size,
        name=name or f"cell {label}",
        source=source,
        offset=(around[0].start, around[1].start, around[2].start),
        metadata={
            "label": int(label),
            **({"touches_edge": edges} if edges else {}),
            **({"other_nuclei": others} if any(others) else {}),
            **left_out_metadata(of_cell, of_nucleus),
        },
    )


def nucleus_label(shared: Mapping[int, int], label: int) -> int:
    """Return the label of a cell's nucleus: the cell's, unless it is a speck, or else the most frequent one.

    ``shared`` has the number of the cell's voxels with each label of the nuclei, without 0. The result is 0 if it is
    empty.
    """
    most = max(shared, key=lambda n: (shared[n], -n), default=0)
    return label if shared.get(label, 0) >= _SPECK * shared.get(most, 1) else most


def _nucleus_in(in_cell: Mask, nuclei: NDArray[Any], label: int) -> tuple[Mask, LeftOut, OtherNuclei]:
    """Return the nucleus of a cell, the specks that were left out of it, and the nuclei with other labels."""
    labels, counts = np.unique(nuclei[in_cell], return_counts=True)
    shared = {int(n): int(count) for n, count in zip(labels, counts, strict=True) if n != 0}
    chosen = nucleus_label(shared, label)
    if chosen:
        nucleus, left_out = largest_pieces(nuclei == chosen, inside=None if chosen == label else in_cell)
        # One mask of all nuclei may have the cell's number.
        own, _ = largest_pieces(nucleus, inside=in_cell)
        nucleus = own if own.any() else nucleus
        if (nucleus & in_cell).sum() >= _LEAST_NUCLEUS * in_cell.sum():
            return _with_others(nucleus, left_out, in_cell, nuclei, shared, chosen)
        if shared[chosen] >= _COVERS * in_cell.sum():
            raise ValueError(_EXCHANGED.format(label))
    raise ValueError(
        f"No nucleus lies in cell {label}: check that both segmentations come from the same image."
    )


def _with_others(
    nucleus: Mask,
    left_out: LeftOut,
    in_cell: Mask,
    nuclei: NDArray[Any],
    shared: Mapping[int, int],
    chosen: int,
) -> tuple[Mask, LeftOut, OtherNuclei]:
    """Return a nucleus with the nuclei of other labels that lie in its cell, as pieces of one label are treated."""
    others = {n: count for n, count in shared.items() if n != chosen and count >= _FEWEST}
    if not others:
        return nucleus, left_out, OtherNuclei()
    size = np.count_nonzero(nucleus)
    inside = {n: largest_pieces(nuclei == n, inside=in_cell)[0] for n in others}
    sizes = {n: int(mask.sum()) for n, mask in inside.items()}
    least = _SPECK * max([int(size), *sizes.values()])
    used = [n for n, count in sizes.items() if count >= least]
    specks = [count for count in sizes.values() if 0 < count < least]
    reach = [others[n] / size for n, count in sizes.items() if count == 0 and others[n] >= least]
    whole = size + sum(sizes.values())
    for n in used:
        nucleus = nucleus | inside[n]
    left_out = LeftOut(left_out.pieces + len(specks), (left_out.share * size + sum(specks)) / whole)
    return nucleus, left_out, OtherNuclei(tuple(sizes[n] / size for n in used), tuple(reach))


def segment_field(
    membrane: NDArray[Any],
    dna: NDArray[Any],
    voxel_size: tuple[float, float, float],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Labels, Labels]:
    """Segment every cell of a field from its membrane and DNA stains.

    Nuclei are found in the DNA by Otsu's threshold and separated by their distance transform. Each is the seed of a
    watershed on the membrane (:mod:`napari_integrated_cell.imaging.watershed`).

    Parameters
    ----------
    membrane, dna : array, (Z, Y, X)
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    progress, cancel : optional
        Told after each step and each cell, and asked before it.

    Returns
    -------
    cell_labels, nucleus_labels : array of int32, (Z, Y, X)
        A cell and its nucleus carry the same label, from 1.

    Raises
    ------
    ValueError
        If the shapes differ, the voxel size is missing, or there is no nucleus.
    """
    found = segment(*_stains(membrane, dna), checked_voxel_size(voxel_size), progress=progress, cancel=cancel)
    if found.count == 0:
        raise ValueError("There is no nucleus in the DNA channel: check that it is the right channel.")
    cells = np.zeros(np.shape(membrane), dtype=np.int32)
    nuclei = np.zeros_like(cells)
    for part in slices(found.count, 1, "cells", progress, cancel):
        around, cell, nucleus = found.masks(part.stop)
        cells[around][cell] = part.stop
        nuclei[around][nucleus] = part.stop
    return cells, nuclei


def segment_at(
    membrane: NDArray[Any],
    dna: NDArray[Any],
    point: tuple[float, float, float],
    voxel_size: tuple[float, float, float],
) -> tuple[Mask, Mask]:
    """Segment the cell at a point like :func:`segment_field`, in a window around the point.

    Parameters
    ----------
    membrane, dna : array, (Z, Y, X)
    point : tuple of float
        Index (z, y, x) of a voxel in the cell, or up to 3 µm from it.
    voxel_size : tuple of float
        (Z, Y, X) in µm.

    Returns
    -------
    cell_mask, nucleus_mask : array of bool, (Z, Y, X)
        On the whole image's grid. :func:`touches_edge` shows if the cell may be cut off.

    Raises
    ------
    ValueError
        If the shapes differ, the voxel size is missing, the point is outside the image, or no cell with a
        nucleus is near it.
    """
    membrane, dna = _stains(membrane, dna)
    voxel_size = checked_voxel_size(voxel_size)
    at = np.rint(np.asarray(point, dtype=np.float64)).astype(int)
    if at.shape != (3,) or (at < 0).any() or (at >= membrane.shape).any():
        raise ValueError(
            f"The point {tuple(point)} lies outside the image of shape {membrane.shape}: click in it."
        )
    window = window_around((at[0], at[1], at[2]), membrane.shape, voxel_size)
    first = np.array([w.start for w in window])

    found: Segmentation = segment(membrane[window], dna[window], voxel_size)
    label = found.label_near(at - first, _NEAR)
    if label == 0:
        raise ValueError("There is no cell with a nucleus near the point clicked: click inside one.")
    around, cell, nucleus = found.masks(label)
    place = tuple(slice(s.start + f, s.stop + f) for s, f in zip(around, first, strict=True))
    cell_mask, nucleus_mask = np.zeros((2, *membrane.shape), dtype=bool)
    cell_mask[place], nucleus_mask[place] = cell, nucleus
    return cell_mask, nucleus_mask


def window_around(
    point: tuple[int, int, int], shape: tuple[int, ...], voxel_size: tuple[float, float, float]
) -> tuple[slice, slice, slice]:
    """Return the part of an image (Z, Y, X) in which :func:`segment_at` looks for the cell at a voxel."""
    reach = (shape[0], *(int(_WINDOW / v) for v in voxel_size[1:]))
    z, y, x = (slice(max(a - r, 0), min(a + r + 1, n)) for a, r, n in zip(point, reach, shape, strict=True))
    return z, y, x


def _stains(membrane: NDArray[Any], dna: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    membrane, dna = np.asarray(membrane), np.asarray(dna)
    if membrane.ndim != 3 or membrane.shape != dna.shape:
        raise ValueError(
            f"The membrane has shape {membrane.shape} and the DNA {dna.shape}: give both as volumes on one "
            "(Z, Y, X) grid."
        )
    return membrane, dna


def _listed(labels: list[int]) -> str:
    if not labels:
        return "none"
    shown = ", ".join(str(label) for label in labels[:20])
    return shown + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
