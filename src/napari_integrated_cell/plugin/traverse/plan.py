"""Find the stages, stops, structures and place of a planned walk, for the model and the active cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.plugin.layers.place import Place, place_over
from napari_integrated_cell.plugin.traverse.state import CELL, EncodedCell, WalkPlan
from napari_integrated_cell.walk.traversal import (
    Stop,
    Walk,
    stages_between,
    stop_at_cell,
    stop_at_stage,
    walk,
)

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session


def change_plan(session: Session, **settings: Any) -> None:
    """Change fields of the plan."""
    session.traverse.plan = replace(session.traverse.plan, **settings)


def stages_on_offer(plan: WalkPlan, model: IntegratedCell) -> list[str]:
    """Return the stages that the walk may go through, in order."""
    if plan.start != CELL:
        return stages_between(model, plan.start, plan.end)
    marks = [mark.stage for mark in model.landmarks]
    return marks[: marks.index(plan.end)] if plan.end in marks else marks


def stages_on_the_way(plan: WalkPlan, model: IntegratedCell) -> list[str]:
    """Return the stages that the walk goes through, without its two ends."""
    offered = stages_on_offer(plan, model)
    if plan.through is None:
        return [] if plan.start == CELL else offered
    return [name for name in offered if name in plan.through]


def planned_structures(plan: WalkPlan, session: Session, model: IntegratedCell) -> tuple[str, ...]:
    """Return the structures to decode: the chosen or the shown ones that the model knows."""
    wanted = session.scene.shown if plan.structures is None else plan.structures
    return tuple(name for name in model.config.structures if name in wanted)


def planned_stops(plan: WalkPlan, session: Session, model: IntegratedCell) -> list[Stop]:
    """Return all stops of the walk. Slow if it starts from a cell that is not encoded yet: call it in a task.

    Raises
    ------
    ValueError
        If the model has no landmark of a stage, or the walk starts from a cell and no cell is active.
    """
    first = _active_cell(session, model).stop if plan.start == CELL else stop_at_stage(model, plan.start)
    last = stop_at_stage(model, plan.end)
    return [first, *(stop_at_stage(model, name) for name in stages_on_the_way(plan, model)), last]


def planned_walk(plan: WalkPlan, stops: list[Stop], path: str | None = None) -> Walk:
    """Return the walk through ``stops``, along the plan's path or another one."""
    frames = plan.steps * (len(stops) - 1) + 1
    return walk(stops, frames, path=path or plan.path, easing=plan.easing)


def planned_place(plan: WalkPlan, session: Session, model: IntegratedCell) -> Place:
    """Return the place of the walk: over the active cell if it starts there, else the place of the scene."""
    if plan.start != CELL:
        return session.scene.place
    return place_over(_active_cell(session, model).pose, session.integrate.image_frame)


def _active_cell(session: Session, model: IntegratedCell) -> EncodedCell:
    cell, known = session.integrate.cell, session.traverse.encoded
    if cell is None:
        raise ValueError(
            "No cell is active: choose one in the dock 'Integrate structures', or start from a stage."
        )
    if known is None or known.cell is not cell or known.model() is not model:
        pose = pose_of(cell, model_box(model.config))
        known = EncodedCell(cell, ref(model), stop_at_cell(model, cell), pose)
        session.traverse.encoded = known
    return known
