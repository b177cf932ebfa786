"""Actions of the dock "Integrate structures": predict the structures of a cell, one layer for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from napari_integrated_cell.imaging.doubts import warnings_of
from napari_integrated_cell.imaging.pose import Pose, pose_of
from napari_integrated_cell.integration import Integration, integrate_cell, model_box
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.integrate.layers import note, show_structure
from napari_integrated_cell.plugin.layers.place import place_over
from napari_integrated_cell.plugin.signals import Connections

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.integrate.request import CellRequest
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

SLOT = "integrate"


@dataclass(frozen=True, eq=False)
class Posed:
    """A posed cell and the model of a run. It is the first part of the result."""

    cell: Cell
    pose: Pose
    model: IntegratedCell


def integrate(
    viewer: ViewerModel,
    session: Session,
    request: CellRequest,
    structures: Sequence[str],
    *,
    layers: Sequence[Layer] = (),
    ensemble: bool = False,
) -> Task:
    """Predict the structures of a cell in the background. A run that has not ended is stopped.

    Parameters
    ----------
    viewer, session
        Where the structures are shown, and its state.
    request : CellRequest
        The cell.
    structures : sequence of str
        The structures to predict. A notification lists those that the model does not know.
    layers : sequence of Layer
        The layers that the cell comes from: the run stops when one of them is removed.
    ensemble : bool
        Whether to show the mean over the four mirror images of the cell.
    """
    run = f"{session.key}/{request.key}"
    posed: list[Posed] = []

    def work(task: Task) -> Integration:
        task.progress(0, 0, "opening the model")
        model = session.load()
        task.token.raise_if_cancelled()
        task.progress(0, 0, "posing the cell")
        cell = request.cut(only=("membrane", "dna"), progress=task.progress, cancel=task.token)
        pose = pose_of(cell, model_box(model.config))
        task.give(Posed(cell, pose, model))
        known = [name for name in structures if name in model.config.structures]
        if not known:
            raise ValueError(
                f"The model {model.name!r} knows none of the chosen structures: it knows "
                f"{', '.join(model.config.structures)}."
            )
        return integrate_cell(
            cell,
            model,
            known,
            pose=pose,
            ensemble=ensemble,
            cancel=task.token,
            progress=task.progress,
            on_structure=lambda name, volume: task.give((name, volume)),
        )

    def take(part: Any) -> None:
        if isinstance(part, Posed):
            posed[:] = [part]
            session.model = part.model
            session.integrate.image_frame, session.integrate.cell = request.image_frame, part.cell
            return
        show_structure(
            viewer,
            *part,
            run=run,
            cell_name=request.name,
            place=place_over(posed[0].pose, request.image_frame),
            voxel_size=posed[0].pose.box.voxel_size,
            about={**_about(request, posed[0], session.model_source), "ensemble": ensemble},
            together=len(structures),
        )

    def done(integration: Integration) -> None:
        # With its z^r, a saved structure can be found again in the latent space.
        typical = integration.typicality
        note(
            viewer,
            run,
            z_ref=[float(z) for z in integration.z_ref],
            typicality=None if typical is None else typical.to_dict(),
        )
        session.integrate.integration = integration
        session.scene.place = place_over(integration.pose, request.image_frame)
        session.scene.set_out(Position(integration.z_ref, name=request.name))
        if warnings := warnings_of(integration.cell, integration.pose):
            show_warning(f"{request.name.capitalize()}: {' '.join(warnings)}")
        missing = [name for name in structures if name not in integration.volumes]
        if missing:
            show_warning(f"The model {integration.model_name!r} does not know {', '.join(missing)}.")

    def layer_removed(event: Any) -> None:
        if any(event.value is layer for layer in layers):
            stop(session, f"The layer {event.value.name!r} was removed.")

    def model_changed() -> None:
        stop(session, "The model was changed.")

    connections = Connections()
    connections.connect(
        (viewer.layers.events.removed, layer_removed),
        (session.events.model_source, model_changed),
        (session.events.device, model_changed),
    )
    what, end = f"Integrating {request.name}", connections.close
    return session.tasks.start(SLOT, what, work, on_given=take, on_done=done, on_end=end, bar=True)


def stop(session: Session, why: str | None = None) -> None:
    """Stop the present run, and show the user the reason. Its layers stay."""
    if session.tasks.cancel(SLOT) and why:
        show_warning(f"{why} The run was stopped; the structures that were ready are kept.")


def _about(request: CellRequest, posed: Posed, model_source: str) -> dict[str, Any]:
    """Return the metadata of a result layer, as plain values that can be saved."""
    return {
        "model": posed.model.name,
        "model_source": model_source,
        "cell": request.name,
        "label": request.label if request.cells is not None else None,
        "point": list(request.point) if request.cells is None and request.point else None,
        "source": request.image_frame.source,
        "simulated": request.simulated,
        "cell_warnings": list(warnings_of(posed.cell)),
        "pose_warnings": list(posed.pose.warnings),
        "angle": float(posed.pose.angle),
        "flips": [bool(f) for f in posed.pose.flips],
    }
