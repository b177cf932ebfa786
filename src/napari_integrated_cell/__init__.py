"""Predict where eleven organelles most probably lie in a given cell.

A public name is imported when it is first used. Importing the package loads neither torch nor Qt.

>>> import napari_integrated_cell as nic
>>> simulated = nic.simulate_cell(seed=1)
>>> integration = nic.integrate_cell(simulated.cell, nic.load_model("demo"))  # doctest: +SKIP
>>> integration.save("cell.ome.tiff")  # doctest: +SKIP
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.data.cell_table import open_table
    from napari_integrated_cell.data.store import PosedStore
    from napari_integrated_cell.imaging.pose import Box, Pose, pose_of
    from napari_integrated_cell.imaging.reading import Image, read_crop, read_image, read_labels
    from napari_integrated_cell.imaging.segmenting import cell_from_labels
    from napari_integrated_cell.imaging.writing import write_ome_tiff
    from napari_integrated_cell.integration import Integration, classify_cell, integrate_cell, to_field
    from napari_integrated_cell.latent.axes import principal_axes
    from napari_integrated_cell.latent.axis_effects import axis_effect
    from napari_integrated_cell.latent.embedding import embed_cells, embed_store
    from napari_integrated_cell.latent.population import (
        Population,
        bundled_population,
        read_population,
        write_population,
    )
    from napari_integrated_cell.latent.position import Position, decode, read_positions, write_positions
    from napari_integrated_cell.latent.recognition import Recognition, recognise_cell
    from napari_integrated_cell.latent.table_embedding import embed_table
    from napari_integrated_cell.model.bundle import load_model, save_bundle
    from napari_integrated_cell.model.catalogue import list_models
    from napari_integrated_cell.model.config import ModelConfig, preset
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.processes import Cancelled, CancelToken
    from napari_integrated_cell.simulation import (
        SimulatedCell,
        expected_localisation,
        simulate_cell,
        simulate_field,
    )
    from napari_integrated_cell.variation.structure_variation import structure_variation, structure_variations
    from napari_integrated_cell.vocabulary import STAGES, STRUCTURES
    from napari_integrated_cell.walk.files import write_walk
    from napari_integrated_cell.walk.traversal import Traversal, stop_at_cell, stop_at_stage
    from napari_integrated_cell.walk.traversal import walk as plan_walk

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
    "Population",
    "Pose",
    "PosedStore",
    "Position",
    "Recognition",
    "SimulatedCell",
    "Traversal",
    "axis_effect",
    "bundled_population",
    "cell_from_labels",
    "classify_cell",
    "decode",
    "embed_cells",
    "embed_store",
    "embed_table",
    "expected_localisation",
    "integrate_cell",
    "list_models",
    "load_model",
    "open_table",
    "plan_walk",
    "pose_of",
    "preset",
    "principal_axes",
    "read_crop",
    "read_image",
    "read_labels",
    "read_population",
    "read_positions",
    "recognise_cell",
    "save_bundle",
    "simulate_cell",
    "simulate_field",
    "stop_at_cell",
    "stop_at_stage",
    "structure_variation",
    "structure_variations",
    "to_field",
    "write_ome_tiff",
    "write_population",
    "write_positions",
    "write_walk",
]

_HOMES = {
    "cell": ("Cell",),
    "data.cell_table": ("open_table",),
    "data.store": ("PosedStore",),
    "imaging.pose": ("Box", "Pose", "pose_of"),
    "imaging.reading": ("Image", "read_crop", "read_image", "read_labels"),
    "imaging.segmenting": ("cell_from_labels",),
    "imaging.writing": ("write_ome_tiff",),
    "integration": ("Integration", "classify_cell", "integrate_cell", "to_field"),
    "latent.axes": ("principal_axes",),
    "latent.axis_effects": ("axis_effect",),
    "latent.embedding": ("embed_cells", "embed_store"),
    "latent.population": ("Population", "bundled_population", "read_population", "write_population"),
    "latent.position": ("Position", "decode", "read_positions", "write_positions"),
    "latent.table_embedding": ("embed_table",),
    "model.bundle": ("load_model", "save_bundle"),
    "model.catalogue": ("list_models",),
    "model.config": ("ModelConfig", "preset"),
    "model.integrated_cell": ("IntegratedCell",),
    "processes": ("CancelToken", "Cancelled"),
    "latent.recognition": ("Recognition", "recognise_cell"),
    "simulation": ("SimulatedCell", "expected_localisation", "simulate_cell", "simulate_field"),
    "variation.structure_variation": ("structure_variation", "structure_variations"),
    "vocabulary": ("STAGES", "STRUCTURES"),
    "walk.files": ("write_walk",),
    "walk.traversal": ("Traversal", "plan_walk", "stop_at_cell", "stop_at_stage"),
}

# A name of the package must not equal a subpackage's: importing `walk` would replace the function by the module.
_NAMES_AT_HOME = {"plan_walk": "walk"}

# Where the modules of version 0.1 are now.
_MOVED = {
    f"{__name__}.{old}": f"{__name__}.{new}"
    for old, new in {
        "axis_effects": "latent.axis_effects",
        "embedding": "latent.embedding",
        "groups": "latent.groups",
        "latent_axes": "latent.axes",
        "model.correlation": "variation.correlation",
        "model.paths": "walk.paths",
        "model.variation": "variation.structure_variation",
        "population": "latent.population",
        "position": "latent.position",
        "projection": "latent.projection",
        "store": "data.store",
        "traversal": "walk.traversal",
        "walk_files": "walk.files",
        "walk_pictures": "walk.pictures",
    }.items()
}

# Type checkers know the names above, and refuse others.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{home}"), _NAMES_AT_HOME.get(name, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _MovedModules(MetaPathFinder, Loader):
    """Imports a module by its path of version 0.1, with a DeprecationWarning that names the new path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, _MOVED[module.__name__]
        warnings.warn(f"{old} is deprecated: import {new} instead.", DeprecationWarning, stacklevel=2)
        # The import system returns what it finds here, so that both paths give one and the same module.
        sys.modules[old] = import_module(new)


sys.meta_path.append(_MovedModules())
