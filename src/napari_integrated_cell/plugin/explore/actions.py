"""Actions of the dock "Latent explorer": move along axes, start from a cell or stage, keep and open positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_warning

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.axes import LatentAxes, principal_axes, raw_axes
from napari_integrated_cell.latent.position import Position, read_positions, write_positions
from napari_integrated_cell.latent.projection import SHAPE
from napari_integrated_cell.plugin.explore.state import Basis
from napari_integrated_cell.plugin.layers.place import Place, place_over
from napari_integrated_cell.plugin.scene.key_frames import Line
from napari_integrated_cell.walk.traversal import Stop, stop_at_cell, stop_at_stage

if TYPE_CHECKING:
    from napari_integrated_cell.latent.axis_effects import AxisEffect
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

CELL, MODE, DRAW, HERE = "cell", "mode", "draw", "here"
"""Where to start from: one of these, or a stage of which the model has a landmark."""

SLOT = "starting position"
EFFECTS = "axis effects"


def change(session: Session, **settings: Any) -> None:
    """Set fields of the explorer's state."""
    for name, value in settings.items():
        setattr(session.explore, name, value)


# ------------------------------------------------------------------------------------------------ axes


def axes_of(session: Session, basis: Basis | None = None) -> LatentAxes | None:
    """Return the axes that are explored, or those of another basis; None if no model is open."""
    model = session.model
    if model is None:
        return None
    space, principal = basis or session.explore.basis
    d = model.config.n_ref if space == SHAPE else model.config.n_struct
    if model.latent is None:
        return raw_axes(d)
    known = model.latent.z_ref if space == SHAPE else model.latent.z_struct.get(space)
    return principal_axes(known) if principal and known is not None else raw_axes(d, known)


def has_principal(session: Session, space: str) -> bool:
    """Return whether the model has statistics of a space, which give its principal axes."""
    latent = session.model.latent if session.model is not None else None
    return latent is not None and (space == SHAPE or space in latent.z_struct)


def vector(session: Session, position: Position, space: str) -> Floats:
    """Return z^r of a position, or its z^s of the structure ``space``."""
    assert session.model is not None
    if space == SHAPE:
        return position.z_ref
    return position.z_struct_of(space, session.model.config.n_struct)


def with_vector(position: Position, space: str, z: Floats) -> Position:
    """Return the position with another latent code in one space, and without its name."""
    moved = replace(position, name="")
    return replace(moved, z_ref=z) if space == SHAPE else moved.with_z_struct(space, z)


def move(session: Session, axis: int, value: float, *, remember: bool = True) -> None:
    """Move the position along one explored axis to a value."""
    axes, position, space = axes_of(session), session.scene.position, session.explore.space
    if axes is None or position is None or axis >= len(axes):
        return
    z = vector(session, position, space)

    def at(value: float) -> Position:
        return with_vector(position, space, axes.moved(z, {axis: value}))

    moved = at(value)
    before = float(axes.values(z)[axis])
    session.scene.go_to(moved, remember=remember, along=Line(moved, value, at, before))


def reset(session: Session, axis: int | None = None) -> None:
    """Set one explored axis, or all that are not locked, back to the start."""
    axes, start, space = axes_of(session), session.scene.start, session.explore.space
    position = session.scene.position
    if axes is None or start is None or position is None:
        return
    values = axes.values(vector(session, start, space))
    chosen = [axis] if axis is not None else free(session, axes)
    z = axes.moved(vector(session, position, space), {i: float(values[i]) for i in chosen})
    session.scene.go_to(with_vector(position, space, z))


def lock(session: Session, axis: int, held: bool) -> None:
    """Lock an explored axis against random draws and walks, or unlock it."""
    explore = session.explore
    changed = explore.held | {axis} if held else explore.held - {axis}
    change(session, locked={**explore.locked, explore.basis: changed})


def free(session: Session, axes: LatentAxes) -> list[int]:
    """Return the explored axes that are not locked."""
    return [i for i in range(len(axes)) if i not in session.explore.held]


# ------------------------------------------------------------------------------------------------ start


def start_from(session: Session, origin: str, *, seed: int | None = None) -> None:
    """Start from :data:`CELL` (the active cell, encoded), :data:`MODE`, :data:`DRAW`, :data:`HERE`, or a stage.

    The model is opened first if necessary. If it has no landmark of the stage, a notification says so.

    Raises
    ------
    ValueError
        If there is no active cell, or no position, to start from.
    """
    if origin == CELL and session.integrate.cell is None:
        raise ValueError("There is no active cell: choose one in the dock 'Integrate structures' first.")
    if origin == HERE and session.scene.position is None:
        raise ValueError("There is no position yet: start from a cell or a stage first.")

    def opened(model: IntegratedCell) -> None:
        if origin == CELL:
            _start_from_cell(session)
        elif origin == MODE:
            session.scene.set_out(Position(np.zeros(model.config.n_ref, np.float32), name="the prior's mode"))
        elif origin == DRAW:
            session.scene.set_out(_random_draw(session, model, np.random.default_rng(seed)))
        elif origin == HERE:
            if session.scene.position is not None:
                session.scene.set_out(session.scene.position)
        else:
            try:
                stop = stop_at_stage(model, origin)
            except ValueError as error:
                show_error(str(error))
                return
            session.scene.set_out(Position(stop.z_ref, name=stop.label))

    session.open_then(opened)


def _start_from_cell(session: Session) -> None:
    """Encode the active cell in the background, start from its z^r, and move the box over the cell."""
    cell, frame = session.integrate.cell, session.integrate.image_frame
    assert cell is not None

    def work(task: Task) -> tuple[IntegratedCell, Stop, Place]:
        model = session.load()
        pose = pose_of(cell, model_box(model.config))
        return model, stop_at_cell(model, cell), place_over(pose, frame)

    def done(found: tuple[IntegratedCell, Stop, Place]) -> None:
        model, stop, place = found
        if model is not session.model:  # the user has since chosen another cell
            return
        integration = session.integrate.integration
        # The place of a cell without a layer is a guess: keep the place that an integration has set.
        if frame is not None or integration is None or integration.cell.name != cell.name:
            session.scene.place = place
        session.scene.set_out(Position(stop.z_ref, name=cell.name))
        if stop.warnings:
            show_warning(" ".join(stop.warnings))

    session.tasks.start(SLOT, f"Encoding {cell.name}", work, on_done=done, bar=True)


def _random_draw(session: Session, model: IntegratedCell, rng: np.random.Generator) -> Position:
    """Draw z^r and every z^s from N(0, I), and keep the locked axes as they are."""
    config, here = model.config, session.scene.position or Position(np.zeros(model.config.n_ref, np.float32))
    position = Position(rng.standard_normal(config.n_ref, np.float32), name="a random draw")
    for structure in config.structures:
        position = position.with_z_struct(structure, rng.standard_normal(config.n_struct, np.float32))
    for (space, principal), held in session.explore.locked.items():
        axes = axes_of(session, (space, principal))
        if held and axes is not None and (space == SHAPE or space in config.structures):
            values = axes.values(vector(session, here, space))
            z = axes.moved(vector(session, position, space), {i: float(values[i]) for i in held})
            position = replace(with_vector(position, space, z), name=position.name)
    return position


# ------------------------------------------------------------------------------------------------ positions


def copied(session: Session) -> str:
    """Return the position as text for :func:`paste`; empty if there is none."""
    position = session.scene.position
    return "" if position is None else _signed(session, [position])[0].to_json()


def paste(session: Session, text: str) -> None:
    """Go to the position in a text.

    Raises
    ------
    ValueError
        If the text is not a position, or its position belongs to another model.
    """
    position = Position.from_json(text)
    _check(session, [position])
    session.scene.go_to(position)


def keep(session: Session, name: str) -> None:
    """Keep the position under a name. A kept position of the same name is replaced."""
    position = session.scene.position
    if position is None:
        return
    named = replace(position, name=name.strip() or f"position {len(session.explore.kept) + 1}")
    others = [p for p in session.explore.kept if p.name != named.name]
    change(session, kept=(*others, named))
    session.scene.go_to(named, remember=False)


def save(session: Session, path: str | Path) -> Path:
    """Write the kept positions as a table, or the present position if none is kept."""
    here = () if session.scene.position is None else (session.scene.position,)
    return write_positions(path, _signed(session, session.explore.kept or here))


def open_table(session: Session, path: str | Path) -> None:
    """Keep the positions of a table and go to the first.

    Raises
    ------
    ValueError
        If it is not a table of positions, or its positions belong to another model.
    """
    positions = read_positions(path)
    if not positions:
        raise ValueError(f"{path} holds no position.")
    _check(session, positions)
    named = [replace(p, name=p.name or f"row {row}") for row, p in enumerate(positions, 1)]
    change(session, kept=tuple({p.name: p for p in (*session.explore.kept, *named)}.values()))
    session.scene.go_to(named[0])


def _signed(session: Session, positions: Sequence[Position]) -> list[Position]:
    """Return the positions with the fingerprint of the open model."""
    from napari_integrated_cell.model.fingerprint import fingerprint

    weights = "" if session.model is None else fingerprint(session.model)
    return [replace(position, weights=weights) for position in positions]


def _check(session: Session, positions: list[Position]) -> None:
    if session.model is None:
        raise ValueError(
            "No model is open yet, so the position cannot be checked: try again when the model is open."
        )
    for position in positions:
        position.check_fits(session.model)


# ------------------------------------------------------------------------------------------------ effects


def effects_of(session: Session, axes_wanted: list[int]) -> dict[int, AxisEffect]:
    """Return the effects of axes, for those that were measured from the present start."""
    explore = session.explore
    if explore.measured_from != session.scene.start:
        return {}
    found = {i: explore.measured.get((*explore.basis, i)) for i in axes_wanted}
    return {i: effect for i, effect in found.items() if effect is not None}


def measure(session: Session, axes_wanted: list[int]) -> None:
    """Measure in the background the effects of the axes that are not measured yet."""
    explore, start, axes = session.explore, session.scene.start, axes_of(session)
    known = effects_of(session, axes_wanted)
    missing = [i for i in axes_wanted if i not in known]
    if start is None or axes is None or not missing:
        session.tasks.cancel(EFFECTS)
        return
    if explore.measured_from != start:
        change(session, measured={}, measured_from=start)

    def work(task: Task) -> None:
        from napari_integrated_cell.latent.axis_effects import axis_effect

        model = session.load()
        for done, axis in enumerate(missing):
            task.progress(done, len(missing), axes.names[axis])
            effect = axis_effect(model, start, explore.space, axes, axis, cancel=task.token)
            task.give((axis, effect))

    def take(found: tuple[int, AxisEffect]) -> None:
        axis, effect = found
        if session.scene.start == start:
            change(session, measured={**session.explore.measured, (*explore.basis, axis): effect})

    session.tasks.start(EFFECTS, "Measuring the effects of the axes", work, on_given=take, bar=True)
