"""Layers as images: what a layer shows, its voxel size and its transforms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.vocabulary import recognise_channel

if TYPE_CHECKING:
    from napari.layers import Layer

VoxelSize = tuple[float, float, float]

_SEGMENTATION_WORDS = {
    *("label", "labels", "mask", "masks"),
    *("seg", "segmentation", "segmentations", "segmented"),
}
_NUCLEUS_WORDS = {"nucleus", "nuclei", "nuclear", "dna", "nuc", "chromatin"}


def is_volume(layer: Layer) -> bool:
    """Return whether a layer is a (Z, Y, X) image or segmentation, and not a prediction of this plugin."""
    return (
        isinstance(layer, Image | Labels)
        and layer.ndim == 3
        and not getattr(layer, "rgb", False)
        and "run" not in mark_of(layer)
    )


def why_no_volume(layer: Layer) -> str:
    """Return a sentence that says why a layer cannot be used."""
    if not isinstance(layer, Image | Labels):
        return f"{layer.name!r} is a {type(layer).__name__} layer: choose an Image or Labels layer."
    if getattr(layer, "rgb", False):
        return f"{layer.name!r} is an RGB picture: split its channels into separate layers first."
    if layer.ndim != 3:
        return f"{layer.name!r} has {layer.ndim} dimensions: choose a volume (Z, Y, X)."
    return f"{layer.name!r} is a predicted structure: choose the image it was predicted for."


def shows(layer: Layer) -> str | None:
    """Return what a layer shows: ``"cells"`` or ``"nuclei"`` (segmentations), a channel of the vocabulary, or None.

    The layer's metadata state it, or its name is recognised.
    """
    stated = mark_of(layer).get("shows")
    if stated:
        return str(stated)
    what, words = recognise_channel(layer.name), _words(layer.name)
    if not isinstance(layer, Labels):
        return what
    if "roof" in words or {"struct", "structure"} & words:
        return None
    if words & _NUCLEUS_WORDS:
        return "nuclei"
    return "cells" if what in (None, "membrane") else what


def looks_like_segmentation(name: str, data: Any) -> bool:
    """Return whether a channel with this name holds labels and not intensities."""
    return np.issubdtype(data.dtype, np.integer) and bool(_words(name) & _SEGMENTATION_WORDS)


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))


@dataclass(frozen=True)
class Guess:
    """The layers that most probably show a cell's membrane and DNA, and its segmentations."""

    membrane: Layer | None = None
    dna: Layer | None = None
    cells: Layer | None = None
    nuclei: Layer | None = None


def guess_layers(layers: Iterable[Layer], selected: Iterable[Layer] = ()) -> Guess:
    """Guess the layers from selection, names and metadata.

    If a volume is selected, only layers on its grid are guessed.
    """
    selected = list(selected)
    topmost_first = [layer for layer in layers if is_volume(layer)][::-1]
    ranked = sorted(topmost_first, key=lambda layer: layer not in selected)
    found: dict[str, Layer] = {}
    for layer in ranked:
        what = shows(layer)
        if what in ("membrane", "dna", "cells", "nuclei") and grid_shape(layer) == grid_shape(ranked[0]):
            found.setdefault(what, layer)
    return Guess(**found)


def volume_of(layer: Layer) -> Any:
    """Return a layer's (Z, Y, X) array at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def grid_shape(layer: Layer) -> tuple[int, ...]:
    """Return the number of voxels (Z, Y, X) of a layer."""
    return tuple(int(n) for n in volume_of(layer).shape)


def micrometres_per_unit(layer: Layer) -> float | None:
    """Return a layer's unit in µm; None if it has no unit of length."""
    factors = set()
    for unit in layer.units[-3:]:
        if not unit.is_compatible_with("micrometer"):
            return None
        factors.add(float((1 * unit).to("micrometer").magnitude))
    return factors.pop() if len(factors) == 1 else None


def voxel_size_of(layer: Layer) -> VoxelSize | None:
    """Return the voxel size (Z, Y, X) of a layer in µm; None if it states neither a unit nor a scale.

    A scale without a unit is read as µm, as is usual in the field.
    """
    edges = np.linalg.norm(data_to_world(layer)[:3, :3], axis=0)
    factor = micrometres_per_unit(layer)
    if factor is None and np.allclose(edges, 1):
        return None
    z, y, x = (float(e) for e in np.round(edges * (factor or 1.0), 9))
    return z, y, x


def data_to_world(layer: Layer) -> Doubles:
    """Return the (4, 4) affine from a layer's voxel indices to its world, with scale, translation and affine."""
    # napari's public interface only transforms points. The origin and the unit steps give the affine.
    corners = np.vstack([np.zeros(3), np.eye(3)])
    images = np.array([layer.data_to_world(c) for c in corners], dtype=float)
    affine = np.eye(4)
    affine[:3, 3] = images[0]
    affine[:3, :3] = (images[1:] - images[0]).T
    return affine


def world_to_index(layer: Layer, position: Any, viewer_units: Any) -> tuple[int, int, int] | None:
    """Return the (Z, Y, X) index of a layer's voxel at a position in the viewer's world; None outside the layer.

    The viewer's world has the smallest unit among its layers, which may differ from the layer's unit.
    """
    point = np.asarray(position, dtype=float)[-3:]
    if viewer_units:
        ratios = [
            float((1 * theirs).to(ours).magnitude) if theirs.is_compatible_with(ours) else 1.0
            for theirs, ours in zip(viewer_units[-3:], layer.units[-3:], strict=True)
        ]
        point = point * ratios
    z, y, x = (int(i) for i in np.round(layer.world_to_data(point)))
    inside = all(0 <= i < n for i, n in zip((z, y, x), grid_shape(layer), strict=True))
    return (z, y, x) if inside else None
