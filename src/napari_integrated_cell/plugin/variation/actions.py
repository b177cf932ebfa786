"""Actions of the dock "Structure variation": draw structures many times in one shape and compare the draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.pose import pose_of, posed_mask, posed_references
from napari_integrated_cell.imaging.stained_masks import enclosed, membrane_of
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.plugin.layers.place import Place, place_over
from napari_integrated_cell.plugin.signals import Connections
from napari_integrated_cell.plugin.variation.state import CELL, DRAW, VariationRequest, VariedShape

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.latent.position import Position
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.layers.place import ImageFrame
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

SLOT = "variation"
SCRUB = "variation draw"


def change(session: Session, **settings: Any) -> None:
    """Change fields of the request."""
    session.variation.request = replace(session.variation.request, **settings)


def measure(session: Session) -> Task:
    """Measure the variation of the chosen structures in the background. Each is shown as soon as it is measured.

    Structures that were measured before in the same shape, with the same number of draws, are not measured again.

    Raises
    ------
    ValueError
        If no structure is chosen, or there is no cell or no position.
    """
    request, before, kept = session.variation.request, session.variation.shape, session.variation.found
    if request.structures == ():
        raise ValueError("No structure is ticked: tick at least one.")
    shape_for = _subject(session)

    def work(task: Task) -> None:
        from napari_integrated_cell.variation.structure_variation import structure_variations

        task.progress(0, 0, "opening the model")
        model = session.load()
        task.token.raise_if_cancelled()
        task.progress(0, 0, "encoding the cell")
        # The user may have chosen a source that this model does not have.
        wanted = None if model.conditional_prior is None else request.draw_from
        shape = replace(shape_for(model), draw_from=wanted)
        names = [n for n in model.config.structures if request.structures is None or n in request.structures]
        if not names:
            raise ValueError(
                f"The model {model.name!r} knows none of the ticked structures: it knows "
                f"{', '.join(model.config.structures)}."
            )
        known = {n: v for n, v in kept.items() if v.n == request.n} if shape.is_of(before) else {}
        task.give((shape, known))
        left = [name for name in names if name not in known]
        if left:
            structure_variations(
                model,
                shape.z_ref,
                left,
                request.n,
                shape.seed,
                mask=shape.compared_in,
                draw_from=shape.draw_from,
                progress=task.progress,
                cancel=task.token,
                on_structure=task.give,
            )

    def take(part: Any) -> None:
        if isinstance(part, tuple):
            shape, known = part
            session.model, session.variation.shape, session.variation.found = shape.model, shape, known
        else:
            session.variation.found = {**session.variation.found, part.structure: part}
            if session.variation.request.looked_at not in session.variation.found:
                change(session, looked_at=part.structure, draw=0)

    def model_changed() -> None:
        if session.tasks.cancel(SLOT):
            show_warning("The model was changed: drawing structures was stopped.")

    connections = Connections()
    connections.connect((session.events.model_source, model_changed), (session.events.device, model_changed))
    what = f"Drawing structures in {subject_name(session)}"
    return session.tasks.start(SLOT, what, work, on_given=take, on_end=connections.close, bar=True)


def subject_name(session: Session) -> str:
    """Return the name of the shape to measure; empty if there is none."""
    if session.variation.request.subject == CELL:
        cell = session.integrate.active_cell
        return "" if cell is None else cell.name or "the active cell"
    if session.scene.position is None:
        return ""
    return session.scene.position.name or "the position of the sliders"


def look_at(session: Session, structure: str) -> None:
    """Show another structure's mean, deviation and draws."""
    if structure in session.variation.found and structure != session.variation.request.looked_at:
        change(session, looked_at=structure)


def scrub(session: Session, show: Callable[[VariedShape, str, int, Floats], None]) -> None:
    """Decode the chosen draw and pass it to ``show``. While one is decoded, only the latest choice waits."""
    request, shape = session.variation.request, session.variation.shape
    found = session.variation.found.get(request.looked_at)
    if shape is None or found is None or DRAW not in request.shown or session.tasks.running(SCRUB):
        return
    wanted = (request.looked_at, min(request.draw, found.n - 1))

    def end() -> None:
        now: VariationRequest = session.variation.request
        same = (now.looked_at, now.draw) == (request.looked_at, request.draw)
        if shape is session.variation.shape and not same:
            scrub(session, show)

    session.tasks.start(
        SCRUB,
        f"Drawing {wanted[0]}",
        lambda task: shape.draws_of(wanted[0]).draw(wanted[1]),
        on_done=lambda volume: show(shape, *wanted, volume),
        on_end=end,
    )


# ------------------------------------------------------------------------------------------------ the shape


def _subject(session: Session) -> Callable[[IntegratedCell], VariedShape]:
    """Return a function from a model to the chosen shape. The function is slow: call it in a task."""
    if session.variation.request.subject == CELL:
        cell, frame = session.integrate.active_cell, session.integrate.image_frame
        if cell is None:
            raise ValueError("There is no active cell: choose one in the dock 'Integrate structures' first.")
        return lambda model: of_cell(cell, frame, model)
    position, place = session.scene.position, session.scene.place
    if position is None:
        raise ValueError(
            "There is no position in the latent space: start from one in the dock 'Latent explorer' first."
        )
    return lambda model: of_position(position, place, model, subject_name(session))


def of_cell(cell: Cell, frame: ImageFrame | None, model: IntegratedCell) -> VariedShape:
    """Return the shape of a posed and encoded cell. Draws are compared inside the cell."""
    pose = pose_of(cell, model_box(model.config))
    z_ref = model.encode(posed_references(cell, pose)[None])[0]
    return VariedShape(
        cell.name or "the active cell", model, z_ref, posed_mask(cell, pose), True, place_over(pose, frame)
    )


def of_position(position: Position, place: Place, model: IntegratedCell, name: str) -> VariedShape:
    """Return the shape at a position. Draws are compared inside the decoded membrane."""
    position.check_fits(model)
    decoded = model.decode_reference(position.z_ref[None])[0]
    membrane = decoded[model.config.references.index("membrane")]
    inside = enclosed(membrane_of(membrane)).astype(np.float32)
    return VariedShape(name, model, position.z_ref, inside, False, place)
