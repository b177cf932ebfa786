"""Actions of the dock "Cell map": open cells, lay them out, select some of them, go to them, save them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_info, show_warning

from napari_integrated_cell.arrays import Floats, Indices, Reals
from napari_integrated_cell.latent.groups import mean_position, medoid_cell, position_of, write_group
from napari_integrated_cell.latent.population import CELL_ID, Population, bundled_population, read_population
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.latent.projection import (
    SHAPE,
    Projection,
    axes_in,
    by_umap,
    on_axes,
    positions_in,
)
from napari_integrated_cell.plugin.activity import notify
from napari_integrated_cell.plugin.map.colouring import colourable
from napari_integrated_cell.plugin.map.state import PRINCIPAL, UMAP, MapView

if TYPE_CHECKING:
    from napari_integrated_cell.latent.axes import LatentAxes
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.latent import Landmark
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

SLOT = "population"
LAYOUT = "lay out cells"
GROUP = "group of cells"
FILE = "write cells"


# ------------------------------------------------------------------------------- opening cells


def open_map(session: Session) -> None:
    """Open the chosen model, and the cells of its bundle if no other cells are open."""
    session.open_then(lambda model: _open_bundled(session, model))


def _open_bundled(session: Session, model: IntegratedCell) -> None:
    lay_out(session)  # the landmarks are shown before the cells are read
    if session.map.population is not None or session.tasks.running(SLOT) is not None:
        return
    source = session.model_source

    def work(task: Task) -> Population | None:
        return bundled_population(source, model)

    def take(found: Population | None) -> None:
        if session.model is model and session.map.population is None:
            show_population(session, found)

    session.tasks.start(SLOT, "Opening the model's cells", work, on_done=take)


def open_cells(session: Session, path: str | Path) -> None:
    """Open embedded cells (.parquet), or embed a table (.csv) or a store (a folder), in the background."""
    source = Path(path)
    model_source, device = session.model_source, session.device

    def work(task: Task) -> tuple[IntegratedCell, Population, dict[str, str]]:
        left_out: dict[str, str] = {}
        task.progress(0, 0, "opening the model")
        model = session.load()
        return model, _population_at(source, model, task, left_out), left_out

    def take(result: tuple[IntegratedCell, Population, dict[str, str]]) -> None:
        model, found, left_out = result
        if session.model_source != model_source:
            show_warning(
                "The cells are not shown: they were embedded with another model than the chosen one."
            )
            return
        if session.model is None and session.device == device:
            session.model = model
        show_population(session, found)
        if left_out:
            name, reason = next(iter(left_out.items()))
            others = f" and {len(left_out) - 1} others were" if len(left_out) > 1 else " was"
            show_warning(f"{name}{others} left out: {reason}")

    session.tasks.start(SLOT, f"Opening the cells of {source.name}", work, on_done=take, bar=True)


def _population_at(source: Path, model: IntegratedCell, task: Task, left_out: dict[str, str]) -> Population:
    from napari_integrated_cell.data.store import PosedStore
    from napari_integrated_cell.latent.embedding import embed_store
    from napari_integrated_cell.latent.table_embedding import embed_table

    if source.is_dir():
        return embed_store(PosedStore(source), model, cancel=task.token, progress=task.progress)
    if source.suffix.lower() == ".csv":
        return embed_table(
            source, model, on_left_out=left_out.__setitem__, cancel=task.token, progress=task.progress
        )
    found = read_population(source)
    found.check_fits(model)
    return found


def show_population(session: Session, population: Population | None) -> None:
    """Show another population. The selection and the layouts of the last one are dropped."""
    session.map.projection, session.map.umaps = None, {}  # they belong to the last population
    columns = [] if population is None else colourable(population.table)
    colour = session.map.view.colour
    session.map.view = MapView(colour=colour if colour in columns or not columns else columns[0])
    session.map.population = population
    lay_out(session)


# ------------------------------------------------------------------------------- the view


def change_view(session: Session, **changes: Any) -> None:
    """Change fields of the :class:`~.state.MapView`, and lay the population out again if the plane changes."""
    if "space" in changes and changes["space"] != session.map.view.space:
        changes.setdefault("axes", (0, 1))
    before, after = session.map.view, replace(session.map.view, **changes)
    moved = (before.space, before.layout, before.axes) != (after.space, after.layout, after.axes)
    session.map.view = replace(after, part=None) if moved else after  # the part belongs to the last plane
    if moved:
        lay_out(session)


def keep_part(session: Session, part: tuple[float, float, float, float]) -> None:
    """Keep the visible part of the plane for when the dock is opened again, unless a new plane is on its way."""
    if session.map.projection is not None and session.tasks.running(LAYOUT) is None:
        change_view(session, part=part)


def axes_of(session: Session) -> LatentAxes | None:
    """Return the principal axes of the shown space; None if neither the model nor the cells have any."""
    if session.model is None:
        return None
    _, z = _shown(session)
    try:
        return axes_in(session.map.view.space, session.model.latent, z)
    except ValueError:
        return None


def lay_out(session: Session) -> None:
    """Place the population in the plane that the view names. A UMAP is computed in the background."""
    session.tasks.cancel(LAYOUT)
    axes = axes_of(session)
    if axes is None or len(axes) < 2:
        session.map.projection = None
        return
    view = session.map.view
    cells, z = _shown(session)
    if view.layout == UMAP and session.map.population is not None:
        _lay_out_by_umap(session, view.space, cells, z)
        return
    last = len(axes) - 1
    chosen = (min(view.axes[0], last), min(view.axes[1], last))
    session.map.projection = on_axes(view.space, axes, chosen, cells, z)


def _lay_out_by_umap(session: Session, space: str, cells: Indices, z: Floats) -> None:
    known = session.map.umaps
    if space in known:
        session.map.projection = known[space]
        return

    def work(task: Task) -> Projection:
        return by_umap(space, cells, z, cancel=task.token, progress=task.progress)

    def take(projection: Projection) -> None:
        known[space] = session.map.projection = projection

    def back(error: Exception) -> bool:
        notify("Laying cells out by UMAP", error)
        change_view(session, layout=PRINCIPAL)
        return True

    session.tasks.start(LAYOUT, "Laying cells out by UMAP", work, on_done=take, on_error=back, bar=True)


def _shown(session: Session) -> tuple[Indices, Floats]:
    if session.map.population is None:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return positions_in(session.map.population, session.map.view.space)


def place_of(session: Session, position: Position | None) -> tuple[float, float] | None:
    """Return where a position lies in the plane; None if there is no plane or no position."""
    projection, model = session.map.projection, session.model
    if projection is None or position is None or model is None:
        return None
    space = projection.space
    z = position.z_ref if space == SHAPE else position.z_struct_of(space, model.config.n_struct)
    x, y = projection.place(z)
    return float(x), float(y)


def cells_inside(projection: Projection, corners: Reals) -> Indices:
    """Return the cells that lie in a polygon (m, 2) of the plane."""
    from skimage.measure import points_in_poly

    points = projection.points
    low, high = corners.min(0), corners.max(0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    return projection.cells[near[points_in_poly(points[near], corners)]] if len(near) else near


# ------------------------------------------------------------------------------- selected cells


def select(session: Session, cells: Sequence[int] | Indices) -> None:
    """Select cells of the population."""
    change_view(session, selection=tuple(np.asarray(cells, np.int64).tolist()))


def selected(session: Session) -> Indices:
    """Return the selected cells."""
    return np.array(session.map.view.selection, np.int64)


def select_class(session: Session, value: object) -> None:
    """Select the shown cells that have ``value`` in the colouring column; None selects those without a value."""
    if session.map.population is None or session.map.projection is None:
        return
    values = session.map.population.table[session.map.view.colour].iloc[session.map.projection.cells]
    found = values.isna() if value is None else values == value
    select(session, session.map.projection.cells[found.to_numpy(bool)])


def find(session: Session, name: str) -> int:
    """Return the cell of the population whose name is ``name``.

    Raises
    ------
    ValueError
        If there is none.
    """
    if session.map.population is not None:
        found = np.flatnonzero((session.map.population.table[CELL_ID] == name.strip()).to_numpy(bool))
        if len(found):
            return int(found[0])
    raise ValueError(f"There is no cell {name.strip()!r} on the map: hover over a cell to read its name.")


def go_to_cell(session: Session, cell: int) -> None:
    """Select a cell and go to its position."""
    select(session, [cell])
    population, _ = _group(session)
    session.scene.go_to(position_of(population, cell, session.map.view.space))


def go_to_landmark(session: Session, landmark: Landmark) -> None:
    """Go to the landmark of a stage."""
    session.scene.go_to(Position(landmark.z_ref, name=landmark.stage))


def go_to_mean(session: Session) -> None:
    """Go to the mean position of the selected cells.

    Raises
    ------
    ValueError
        If no cell is selected.
    """
    session.scene.go_to(mean_position(*_group(session), session.map.view.space))


def go_to_medoid(session: Session) -> None:
    """Find the medoid of the selected cells in the background, and go there. The cells stay selected.

    Raises
    ------
    ValueError
        If no cell is selected.
    """
    (population, cells), space = _group(session), session.map.view.space

    def arrive(cell: int) -> None:
        if session.map.population is population:
            session.scene.go_to(position_of(population, cell, space))

    session.tasks.start(
        GROUP,
        f"Finding the medoid of {len(cells)} cells",
        lambda task: medoid_cell(population, cells, space),
        on_done=arrive,
        bar=True,
    )


def save_selected(session: Session, path: str | Path) -> None:
    """Write the selected cells as a CSV file, in the background.

    Raises
    ------
    ValueError
        If no cell is selected.
    """
    (population, cells), target = _group(session), Path(path)
    session.tasks.start(
        FILE,
        f"Writing {target.name}",
        lambda task: write_group(target, population, cells),
        on_done=lambda written: show_info(f"Wrote {len(cells)} cells to {written}."),
        bar=True,
    )


def _group(session: Session) -> tuple[Population, Indices]:
    """Return the population and its selected cells."""
    cells = selected(session)
    if session.map.population is None:
        raise ValueError("There are no cells on the map: open some first.")
    if not len(cells):
        raise ValueError("No cell is selected: draw a lasso around some cells, or click one.")
    return session.map.population, cells
