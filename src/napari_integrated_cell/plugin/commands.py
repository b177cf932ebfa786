"""Commands of the palette and the menus, for the current viewer of napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_integrated_cell.plugin.integrate.dock import IntegrateWidget

_PLUGIN = "napari-integrated-cell"


def integrate_this_cell() -> None:
    """Open the dock "Integrate structures" and start it."""
    viewer = _viewer()
    if viewer is not None:
        open_dock(viewer).integrate()


def stop_integrating() -> None:
    """Stop the run of the dock "Integrate structures"."""
    from napari.utils.notifications import show_info

    from napari_integrated_cell.plugin.integrate import actions
    from napari_integrated_cell.plugin.session import session_of

    viewer = _viewer()
    if viewer is not None and session_of(viewer).tasks.running(actions.SLOT) is None:
        show_info("No structures are being integrated.")
    elif viewer is not None:
        actions.stop(session_of(viewer))


def segment_this_field() -> None:
    """Open the dock "Integrate structures" and segment all cells and nuclei of its membrane and DNA layers."""
    viewer = _viewer()
    if viewer is not None:
        open_dock(viewer).segment()


def remove_structures() -> None:
    """Remove all layers of structures that were predicted for a cell, and no others."""
    from napari_integrated_cell.plugin.layers.marks import mark_of, result_layers

    viewer = _viewer()
    if viewer is not None:
        for layer in list(result_layers(viewer).values()):
            if "cell" in mark_of(layer):  # layers of other docks belong to no cell of an image
                viewer.layers.remove(layer)


def _viewer() -> Viewer | None:
    from napari import current_viewer
    from napari.utils.notifications import show_error

    viewer = current_viewer()
    if viewer is None:
        show_error("There is no napari window: open one first.")
    return viewer


def open_dock(viewer: Viewer) -> IntegrateWidget:
    """Return the dock "Integrate structures" of a viewer. It is opened if necessary."""
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, "Integrate structures")
    return widget


def open_demo(*, model: str, device: str, stage: str, seed: int) -> None:
    """Open napari with a simulated cell and predict its structures. Returns when the window is closed.

    Parameters
    ----------
    model, device : str
        As in the dock "Integrate structures".
    stage, seed : str, int
        Stage and random seed of the simulated cell.
    """
    import napari

    from napari_integrated_cell.plugin.samples import simulated_cell
    from napari_integrated_cell.plugin.session import session_of

    viewer = napari.Viewer(title="Integrated Cell: a simulated cell")
    session = session_of(viewer)
    session.choose_model(model)
    session.choose_device(device)
    for data, options, kind in simulated_cell(stage, seed):
        getattr(viewer, f"add_{kind}")(data, **options)
    open_dock(viewer).integrate()
    napari.run()
