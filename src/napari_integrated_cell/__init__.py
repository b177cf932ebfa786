"""Integrated cells: where eleven organelles most probably lie in a given cell.

The names below are imported when first used: importing the package itself loads neither torch nor Qt.

>>> import napari_integrated_cell as nic
>>> simulated = nic.simulate_cell(seed=1)
>>> integration = nic.integrate_cell(simulated.cell, nic.load_model("demo"))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.imaging.pose import Box, Pose, pose_of
    from napari_integrated_cell.imaging.reading import Image, read_crop, read_image, read_labels
    from napari_integrated_cell.imaging.segmenting import cell_from_labels
    from napari_integrated_cell.imaging.writing import write_ome_tiff
    from napari_integrated_cell.integration import Integration, classify_cell, integrate_cell, to_field
    from napari_integrated_cell.model.bundle import load_model, save_bundle
    from napari_integrated_cell.model.catalogue import list_models
    from napari_integrated_cell.model.config import ModelConfig, preset
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import Cancelled, CancelToken
    from napari_integrated_cell.simulation import (
        SimulatedCell,
        expected_localisation,
        simulate_cell,
        simulate_field,
    )
    from napari_integrated_cell.vocabulary import STAGES, STRUCTURES

try:
    __version__ = version("napari-integrated-cell")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "STAGES",
    "STRUCTURES",
    "Box",
    "CancelToken",
    "Cancelled",
    "Cell",
    "Image",
    "IntegratedCell",
    "Integration",
    "ModelConfig",
    "Pose",
    "SimulatedCell",
    "cell_from_labels",
    "classify_cell",
    "expected_localisation",
    "integrate_cell",
    "list_models",
    "load_model",
    "pose_of",
    "preset",
    "read_crop",
    "read_image",
    "read_labels",
    "save_bundle",
    "simulate_cell",
    "simulate_field",
    "to_field",
    "write_ome_tiff",
]

_HOMES = {
    "cell": ("Cell",),
    "imaging.pose": ("Box", "Pose", "pose_of"),
    "imaging.reading": ("Image", "read_crop", "read_image", "read_labels"),
    "imaging.segmenting": ("cell_from_labels",),
    "imaging.writing": ("write_ome_tiff",),
    "integration": ("Integration", "classify_cell", "integrate_cell", "to_field"),
    "model.bundle": ("load_model", "save_bundle"),
    "model.catalogue": ("list_models",),
    "model.config": ("ModelConfig", "preset"),
    "model.integrated_cell": ("IntegratedCell",),
    "model.runtime": ("CancelToken", "Cancelled"),
    "simulation": ("SimulatedCell", "expected_localisation", "simulate_cell", "simulate_field"),
    "vocabulary": ("STAGES", "STRUCTURES"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
