"""How layers are displayed: labels, colours, contrast, and the plane that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.layers.marks import MARK, mark_of
from napari_integrated_cell.plugin.layers.opacity import follow_display, opacity_in, untouched_opacity
from napari_integrated_cell.plugin.layers.place import Place
from napari_integrated_cell.vocabulary import REFERENCES, STRUCTURES, colour_of

_LABELS = {**{r.name: r.label for r in REFERENCES}, **{s.name: s.label for s in STRUCTURES}}


def label_of(channel: str) -> str:
    """Return the label of a reference channel or structure."""
    return _LABELS.get(channel, channel)


def channel_colormap(channel: str) -> Colormap:
    """Return a colormap from black to the channel's colour."""
    return Colormap(["#000000", colour_of(channel)], name=f"{label_of(channel)} (integrated cell)")


def contrast_limits(volume: Floats) -> tuple[float, float]:
    """Return the limits that show a predicted structure: from a third of its brightest voxels up to them.

    A prediction is a mean over many possible images, with faint light everywhere a structure may be. Below a third this
    light only adds up to white over eleven layers. A percentile ignores single hot voxels.
    """
    top = max(float(np.percentile(volume, 99.9)), 0.25 * float(volume.max()), 1e-3)
    return top / 3, top


def image_limits(volume: NDArray[Any]) -> tuple[float, float]:
    """Return the limits that show a microscope's image: most of it is background, and a few voxels are hot."""
    sample = np.asarray(volume[:: max(1, len(volume) // 16), ::4, ::4], dtype=float)
    sample = sample[np.isfinite(sample)]  # a registered stack has NaN at its border
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (1, 99.8)))
    return (low, high) if high > low else (low, low + 1)


def show_volume(
    viewer: ViewerModel,
    layer: Image | None,
    volume: Any,
    *,
    name: str,
    colormap: Colormap,
    limits: tuple[float, float],
    place: Place,
    voxel_size: float,
    mark: dict[str, Any],
    opacity: tuple[float, float] | None = None,
) -> Image:
    """Show a volume of the model. Contrast and opacity that the user has set stay.

    Parameters
    ----------
    layer : Image or None
        The layer that shows it from now on; None to add one.
    volume : array of float32, (Z, Y, X) or (T, Z, Y, X)
    name, colormap
        Of a new layer.
    limits : tuple of float
        Contrast limits.
    place : Place
        Where the model's box lies, with the same axes as ``volume``.
    voxel_size : float
        Of the box, in µm.
    mark : dict
        What to keep in the layer's metadata, besides limits and opacity.
    opacity : tuple of float, optional
        The opacity in 2D and in 3D; the layer is opaque if left out.
    """
    mark = {**mark, "contrast_limits": list(limits)}
    if opacity is not None:
        mark["opacity"] = opacity
        follow_display(viewer)
    shown_opacity = 1.0 if opacity is None else opacity_in(viewer, opacity)
    scale = [1.0] * (volume.ndim - 3) + [voxel_size] * 3
    if layer is None:
        added = viewer.add_image(
            volume,
            name=name,
            colormap=colormap,
            blending="additive",
            interpolation2d="linear",  # the model's voxels are coarser than a microscope's
            contrast_limits=limits,
            opacity=shown_opacity,
            scale=scale,
            affine=place.affine,
            units=place.units,
            axis_labels=place.axis_labels,
            metadata={MARK: mark},
        )
        bring_into_view(viewer, added)
        return added
    untouched = np.allclose(layer.contrast_limits, mark_of(layer)["contrast_limits"])
    layer.data = volume
    layer.scale, layer.affine = scale, place.affine
    layer.units, layer.axis_labels = place.units, place.axis_labels
    layer.contrast_limits_range = (0.0, max(1.0, limits[1]))
    if untouched:
        layer.contrast_limits = limits
    if untouched_opacity(layer, viewer):
        layer.opacity = shown_opacity
    layer.metadata[MARK] = mark
    return layer


def bring_into_view(viewer: ViewerModel, layer: Image) -> None:
    """Move the slider along Z to the middle of a layer, if the shown plane does not meet it."""
    if viewer.dims.ndisplay == 3 or viewer.dims.ndim < 3:
        return
    low, high = np.asarray(layer.extent.world)[:, -3]
    axis = viewer.dims.ndim - 3
    factor = _unit_ratio(layer, viewer)
    if axis in viewer.dims.not_displayed and not low * factor <= viewer.dims.point[axis] <= high * factor:
        viewer.dims.set_point(axis, (low + high) / 2 * factor)


def _unit_ratio(layer: Image, viewer: ViewerModel) -> float:
    """Return the layer's unit along Z, in the viewer's."""
    units = viewer.layers.units
    if not units or not layer.units[-3].is_compatible_with(units[-3]):
        return 1.0
    return float((1 * layer.units[-3]).to(units[-3]).magnitude)
