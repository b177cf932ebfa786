"""Actions of the dock "Mitosis traversal": plan a walk, make it, stop making it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.notifications import show_warning

from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.model.runtime import CancelToken, Progress
from napari_integrated_cell.plugin.layers.display import contrast_limits
from napari_integrated_cell.plugin.layers.place import Place
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task
from napari_integrated_cell.plugin.traverse.frames import MB, Frames
from napari_integrated_cell.plugin.traverse.layers import ShownWalk
from napari_integrated_cell.plugin.traverse.plan import (
    change_plan,
    planned_place,
    planned_stops,
    planned_structures,
    planned_walk,
)
from napari_integrated_cell.plugin.traverse.state import CELL
from napari_integrated_cell.walk.paths import PATHS
from napari_integrated_cell.walk.traversal import Traversal, Walk

SLOT = "walk"
PREVIEW = "walk path"

Limits = dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Made:
    """A walk with decoded stops, ready to be shown."""

    traversal: Traversal
    frames: Frames
    limits: Limits
    place: Place


def make_walk(viewer: ViewerModel, session: Session) -> Task:
    """Make the planned walk in the background, and show it in place of the one before.

    If another walk is being made, it is stopped.
    """
    plan = session.traverse.plan
    model_source, device = session.model_source, session.device

    def work(task: Task) -> Made:
        task.progress(0, 0, "opening the model")
        model = session.load()
        task.token.raise_if_cancelled()
        stops = planned_stops(plan, session, model)
        task.token.raise_if_cancelled()
        traversal = Traversal(model, planned_walk(plan, stops), planned_structures(plan, session, model))
        frames = Frames(traversal, plan.budget * MB)
        limits = decode_stops(frames, task.token, task.progress)
        return Made(traversal, frames, limits, planned_place(plan, session, model))

    def done(made: Made) -> None:
        if session.model_source != model_source:
            show_warning("The model was changed: the walk of the one before is not shown.")
            return
        if session.model is None and session.device == device:
            session.model = made.traversal.model
        if session.traverse.walk is not None:
            session.traverse.walk.end()
        shown = ShownWalk(viewer, session.tasks, session.key, made.traversal, made.frames, made.place)
        follow_walk(session, shown)
        session.traverse.walk = shown
        shown.show(made.limits)
        warnings = dict.fromkeys(w for stop in made.traversal.walk.stops for w in stop.warnings)
        if warnings:
            show_warning(" ".join(warnings))

    return session.tasks.start(SLOT, "Making the walk", work, on_done=done, bar=True)


def follow_walk(session: Session, shown: ShownWalk) -> None:
    """Move the session's position along with the playhead, and drop the walk when its layers are removed."""
    scene, walk, source = session.scene, shown.traversal.walk, session.model_source
    last: list[Position | None] = [None]

    def moved(frame: int) -> None:
        if shown.filmed or session.model_source != source:
            return
        here = scene.position
        position = Position(walk.z_ref[frame].astype(np.float32), name=walk.title(frame))
        if here != position:  # undo returns to a position of the user, never to one of the walk
            scene.go_to(position, remember=here != last[0])
        last[0] = scene.position

    def removed() -> None:
        if session.traverse.walk is shown:
            session.traverse.walk = None

    shown.moved.connect(moved)
    shown.removed.connect(removed)


def decode_stops(frames: Frames, cancel: CancelToken, progress: Progress) -> Limits:
    """Decode and keep the stops of a walk, and return contrast limits for each channel.

    The contrast is the same for the whole walk, so that every change in the window is a change of the cell.
    """
    traversal = frames.traversal
    limits: Limits = {}
    stops = traversal.walk.at
    for t, volumes in zip(
        stops,
        traversal.frames(stops, cancel=cancel, progress=progress, what="decoding its stops"),
        strict=True,
    ):
        frames.put(t, volumes)
        for name, volume in zip(traversal.channels, volumes, strict=True):
            found, before = contrast_limits(volume), limits.get(name, (0.0, 0.0))
            limits[name] = (max(found[0], before[0]), max(found[1], before[1]))
    return limits


def fit_plan(session: Session) -> None:
    """Replace stages of the plan that the model has no landmark of."""
    plan, model = session.traverse.plan, session.model
    stages = [] if model is None else [mark.stage for mark in model.landmarks]
    if len(stages) < 2:
        return
    start = plan.start if plan.start in (CELL, *stages) else stages[0]
    end = plan.end if plan.end in stages and plan.end != start else stages[-1]
    if (start, end) != (plan.start, plan.end):
        change_plan(session, start=start, end=end, through=None)


def preview_path(session: Session, on_done: Any, on_error: Any) -> Task:
    """Compute the planned walk along each path, without decoding it. ``on_done`` gets a dict of walks by path."""
    plan = session.traverse.plan

    def work(task: Task) -> dict[str, Walk]:
        model = session.load()
        stops = planned_stops(plan, session, model)
        return {name: planned_walk(plan, stops, name) for name in PATHS}

    return session.tasks.start(PREVIEW, "Computing the path", work, on_done=on_done, on_error=on_error)


def typical_norm(session: Session) -> tuple[float, float] | None:
    """Return mean and standard deviation of the training cells' |z^r|, as if they were normal; None if unknown."""
    latent = None if session.model is None else session.model.latent
    if latent is None:
        return None
    mean, covariance = (np.asarray(a, np.float64) for a in (latent.z_ref.mean, latent.z_ref.covariance))
    square = float(mean @ mean + np.trace(covariance))
    spread = float(2 * np.trace(covariance @ covariance) + 4 * mean @ covariance @ mean)
    return square**0.5, spread**0.5 / (2 * square**0.5)
