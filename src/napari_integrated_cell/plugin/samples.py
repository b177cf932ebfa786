"""Sample data: simulated cells. Public 3D images of cells cannot be part of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LayerData = tuple[Any, dict[str, Any], str]

_VOXEL_SIZE = 0.2  # µm
_N_CELLS = 9


def interphase_cell() -> list[LayerData]:
    """Return a simulated cell in interphase: membrane, DNA and segmentations."""
    return simulated_cell("interphase", seed=12)


def mitotic_cell() -> list[LayerData]:
    """Return a simulated cell in metaphase."""
    return simulated_cell("metaphase", seed=5)


def field_of_cells() -> list[LayerData]:
    """Return a simulated field of cells, as from a spinning-disc microscope."""
    from napari_integrated_cell.simulation import simulate_field

    field = simulate_field(7, n_cells=_N_CELLS)
    return _layers(
        field.channels, field.cell_labels, field.nucleus_labels, field.voxel_size, "simulated field"
    )


def simulated_cell(stage: str, seed: int) -> list[LayerData]:
    """Return a simulated cell at a stage of the vocabulary: membrane, DNA and segmentations."""
    from napari_integrated_cell.simulation import simulate_cell

    cell = simulate_cell(seed, stage=stage, voxel_size=_VOXEL_SIZE).cell
    return _layers(
        cell.channels,
        cell.cell_mask.astype(np.uint8),
        cell.nucleus_mask.astype(np.uint8),
        cell.voxel_size,
        f"simulated {stage} cell",
    )


def _layers(
    channels: Mapping[str, NDArray[Any]],
    cells: NDArray[Any],
    nuclei: NDArray[Any],
    voxel_size: tuple[float, float, float],
    name: str,
) -> list[LayerData]:
    from napari_integrated_cell.plugin.layers.display import channel_colormap, image_limits
    from napari_integrated_cell.plugin.layers.marks import MARK

    place = {"scale": voxel_size, "units": ("µm",) * 3, "axis_labels": ("z", "y", "x")}
    layers: list[LayerData] = [
        (
            labels,
            {
                **place,
                "name": f"{what} · {name}",
                "metadata": {MARK: {"simulated": True, "shows": what}},
                "visible": False,
            },
            "labels",
        )
        for what, labels in (("cells", cells), ("nuclei", nuclei))
    ]
    layers += [
        (
            image,
            {
                **place,
                "name": f"{channel} · {name}",
                "colormap": channel_colormap(channel),
                "blending": "additive",
                "opacity": 0.6,  # predicted structures are shown on top
                "contrast_limits": image_limits(image),
                "metadata": {MARK: {"simulated": True, "shows": channel}},
            },
            "image",
        )
        for channel, image in channels.items()
    ]
    return layers
