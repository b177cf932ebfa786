"""What walk the user has in mind: from where, through what, to where, and how it is to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from napari_integrated_cell.plugin.layers.place import Place, place_over

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.imaging.pose import Pose
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.walk.traversal import Stop, Walk

# Posing and encoding takes a second, and the plan is looked at whenever it is changed.
_encoded: WeakKeyDictionary[Cell, tuple[ref[IntegratedCell], Stop, Pose]] = WeakKeyDictionary()

CELL = ""
"""In place of a stage: start from the active cell."""


@dataclass(frozen=True)
class WalkPlan:
    """A walk as the dock asks for it.

    Attributes
    ----------
    start : str
        A stage, or :data:`CELL`.
    end : str
        A stage.
    through : tuple of str, or None
        Stages on the way; None for all that lie between two stages, and for none from a cell.
    steps : int
        Frames from each stop to the next.
    path, easing : str
        As :func:`~napari_integrated_cell.walk.traversal.walk` takes them.
    structures : tuple of str, or None
        What is decoded besides membrane and DNA; None for what the session shows.
    budget : int
        Decoded frames are kept up to so many MB.
    fps : float
        Frames a second, of a film.
    kept_as : str
        What the walk is kept as: one of :data:`~.widgets.keep_walk.KINDS`.
    """

    start: str = "interphase"
    end: str = "metaphase"
    through: tuple[str, ...] | None = None
    steps: int = 10
    path: str = "radial"
    easing: str = "linear"
    structures: tuple[str, ...] | None = None
    budget: int = 200
    fps: float = 10.0
    kept_as: str = "canvas"


def stages_on_offer(plan: WalkPlan, model: IntegratedCell) -> list[str]:
    """The stages that may lie on the way, in the order in which they are met."""
    from napari_integrated_cell.walk.traversal import stages_between

    if plan.start != CELL:
        return stages_between(model, plan.start, plan.end)
    marks = [mark.stage for mark in model.landmarks]
    return marks[: marks.index(plan.end)] if plan.end in marks else marks


def stages_on_the_way(plan: WalkPlan, model: IntegratedCell) -> list[str]:
    """The stages that the walk goes through, its ends not among them."""
    offered = stages_on_offer(plan, model)
    if plan.through is None:
        return [] if plan.start == CELL else offered
    return [name for name in offered if name in plan.through]


def planned_structures(plan: WalkPlan, session: Session, model: IntegratedCell) -> tuple[str, ...]:
    """The structures to decode: those chosen, or those shown, as far as the model knows them."""
    wanted = session.shown if plan.structures is None else plan.structures
    return tuple(name for name in model.config.structures if name in wanted)


def planned_stops(plan: WalkPlan, session: Session, model: IntegratedCell) -> list[Stop]:
    """Where the walk starts, what it goes through, where it ends. Slow from a cell, which may have to be encoded.

    Raises
    ------
    ValueError
        If the model has no landmark of a stage, or no cell is active where the walk starts from one.
    """
    from napari_integrated_cell.walk.traversal import stop_at_stage

    first = _active_cell(session, model)[0] if plan.start == CELL else stop_at_stage(model, plan.start)
    last = stop_at_stage(model, plan.end)
    return [first, *(stop_at_stage(model, name) for name in stages_on_the_way(plan, model)), last]


def planned_walk(plan: WalkPlan, stops: list[Stop], path: str | None = None) -> Walk:
    """The walk through ``stops``, along the plan's path or another."""
    from napari_integrated_cell.walk.traversal import walk

    frames = plan.steps * (len(stops) - 1) + 1
    return walk(stops, frames, path=path or plan.path, easing=plan.easing)


def planned_place(plan: WalkPlan, session: Session, model: IntegratedCell) -> Place:
    """Where the walk lies: over the active cell where it starts from it, else where the session has the box."""
    if plan.start != CELL:
        return session.place
    _, pose = _active_cell(session, model)
    return Place(pose.layer_affine) if session.ground is None else place_over(pose, session.ground)


def _active_cell(session: Session, model: IntegratedCell) -> tuple[Stop, Pose]:
    """The active cell as a stop, and its pose."""
    from napari_integrated_cell.imaging.pose import pose_of
    from napari_integrated_cell.integration import model_box
    from napari_integrated_cell.walk.traversal import stop_at_cell

    cell = session.cell
    if cell is None:
        raise ValueError(
            "No cell is active: choose one in the dock 'Integrate structures', or start from a stage."
        )
    before = _encoded.get(cell)
    if before is None or before[0]() is not model:
        pose = pose_of(cell, model_box(model.config))
        before = _encoded[cell] = (ref(model), stop_at_cell(model, cell), pose)
    return before[1], before[2]
