"""A cell of the map as layers: in the model's box if it comes from a store, else on the grid of its image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray

from napari_integrated_cell.latent.population import CELL_ID, ROW, Population
from napari_integrated_cell.plugin.layers.cell_layers import cell_layers
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.place import ORIGIN
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task

SLOT = "open a cell"


@dataclass(frozen=True, eq=False)
class OpenedCell:
    """Images and segmentations of a cell, on one grid."""

    name: str
    key: str
    images: Mapping[str, NDArray[Any]]
    voxel_size: tuple[float, float, float]
    posed: bool
    simulated: bool = False
    labels: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def why_not_openable(population: Population | None) -> str:
    """Return why the images of a population's cells cannot be opened, in a sentence; empty if they can."""
    if population is None:
        return "There are no cells on the map."
    if not population.source or ROW not in population.table:
        return "These cells have no images: embed their table or store to open them here."
    if not Path(population.source).exists():
        return f"The images of the cells cannot be found: {population.source} is missing."
    return ""


def open_cell(viewer: ViewerModel, session: Session, cell: int) -> None:
    """Open the images of a cell as layers, in the background.

    A cell of a store is shown in the model's box, at the origin of the window.

    Raises
    ------
    ValueError
        If its images cannot be opened.
    """
    population = session.map.population
    reason = why_not_openable(population)
    if reason or population is None:
        raise ValueError(reason)

    def work(task: Task) -> OpenedCell:
        return read_cell(population, cell)

    def take(opened: OpenedCell) -> None:
        if opened.posed and session.map.population is population:
            session.scene.place = ORIGIN
        show_cell(viewer, opened)

    name = population.table["cell_id"].iloc[cell]
    session.tasks.start(SLOT, f"Opening the cell {name}", work, on_done=take, bar=True)


def read_cell(population: Population, cell: int) -> OpenedCell:
    """Read the images of a cell from the table or store of its population. Slow: call it in a task.

    Raises
    ------
    ValueError, OSError
        If they cannot be read, or the table or store has changed.
    """
    source = Path(population.source)
    known = population.table.iloc[cell]
    name, row = str(known[CELL_ID]), int(known[ROW])
    key = f"{source}#{row}"
    return _of_store(source, name, row, key) if source.is_dir() else _of_table(source, name, row, key)


def _of_store(source: Path, name: str, row: int, key: str) -> OpenedCell:
    from napari_integrated_cell.data.store import PosedStore

    store = PosedStore(source)
    found = np.flatnonzero(store.table.index.to_numpy() == row)
    if not len(found) or str(store.table["CellId"].iloc[found[0]]) != name:
        raise ValueError(f"{source} has changed and does not hold the cell {name} any more: embed it again.")
    image = store.stored(found[:1])[0]
    shown = str(store.table["structure"].iloc[found[0]])
    names = [shown if channel == "structure" else channel for channel in store.channels]
    images = dict(zip(names, image, strict=True))
    return OpenedCell(name, key, images, (store.voxel_size,) * 3, posed=True, simulated=store.simulated)


def _of_table(source: Path, name: str, row: int, key: str) -> OpenedCell:
    from napari_integrated_cell.data.cell_table import open_table

    entry = open_table(source).at(row)
    if entry is None or entry.name != name:
        raise ValueError(
            f"{source} has changed and does not list the cell {name} in its row any more: embed it again."
        )
    cell = entry.read()
    images = {
        entry.structure or channel if channel == "structure" else channel: image
        for channel, image in cell.channels.items()
    }
    labels = {"cells": cell.cell_mask.astype(np.uint8), "nuclei": cell.nucleus_mask.astype(np.uint8)}
    return OpenedCell(name, key, images, cell.voxel_size, posed=False, labels=labels)


def show_cell(viewer: ViewerModel, opened: OpenedCell) -> None:
    """Add the layers of a cell, and remove those that it had before."""
    for layer in [layer for layer in viewer.layers if mark_of(layer).get("map_cell") == opened.key]:
        viewer.layers.remove(layer)
    mark = {"map_cell": opened.key, "simulated": opened.simulated}
    for data, options, kind in cell_layers(
        f"cell {opened.name}",
        opened.images,
        opened.labels,
        opened.voxel_size,
        mark=mark,
        limits_of=lambda image: (float(image.min()), max(float(image.max()), float(image.min()) + 1e-6)),
    ):
        getattr(viewer, f"add_{kind}")(data, **options)
