"""The demonstration in a window: a simulated cell, the dock, and its button pressed."""

from __future__ import annotations


def open_demo(*, model: str, device: str, stage: str, seed: int) -> None:
    """Open napari on a simulated cell and integrate it; returns when the window is closed.

    Parameters
    ----------
    model, device : str
        As the dock's choices take them.
    stage, seed : str, int
        Which cell is simulated.
    """
    import napari

    from napari_integrated_cell.plugin.commands import open_dock
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
