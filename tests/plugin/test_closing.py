"""A viewer that is closed leaves nothing of the plugin behind."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
from integrate_window import needs_display
from qtpy.QtCore import QCoreApplication, QEvent
from traverse_window import tiny_model

from napari_integrated_cell.plugin.explore.dock import ExploreWidget
from napari_integrated_cell.plugin.integrate.dock import IntegrateWidget
from napari_integrated_cell.plugin.map.dock import MapWidget
from napari_integrated_cell.plugin.scene import decoder
from napari_integrated_cell.plugin.session import _sessions, session_of
from napari_integrated_cell.plugin.traverse import actions as traverse_actions
from napari_integrated_cell.plugin.traverse.dock import TraverseWidget
from napari_integrated_cell.plugin.variation import actions as variation_actions
from napari_integrated_cell.plugin.variation.dock import VariationWidget

pytestmark = [pytest.mark.gui, needs_display]

DOCKS = (IntegrateWidget, ExploreWidget, MapWidget, TraverseWidget, VariationWidget)


def used(viewer, qtbot):
    """Open all docks, go to a position, make a walk, measure a variation; weak references to all of it."""
    session, model = session_of(viewer), tiny_model()
    session.open_model = lambda source, device: model
    docks = [dock(viewer) for dock in DOCKS]
    for dock in docks:
        viewer.window.add_dock_widget(dock, name=dock.objectName())
    scene = decoder.scene_of(viewer, session)
    qtbot.waitUntil(lambda: session.scene.position is not None and scene.at_rest, timeout=60_000)
    variation_actions.change(session, n=2, structures=("TOM20",), subject="position")
    variation_actions.measure(session)
    traverse_actions.make_walk(viewer, session)
    qtbot.waitUntil(
        lambda: session.traverse.walk is not None and bool(session.variation.found), timeout=60_000
    )
    states = [
        getattr(session, name) for name in ("integrate", "scene", "explore", "map", "traverse", "variation")
    ]
    things = [viewer, session, scene, session.traverse.walk, *states, *docks, *viewer.layers]
    assert len(viewer.layers) > 5
    return [(repr(thing)[:80], ref(thing)) for thing in things]


@pytest.mark.slow
@pytest.mark.parametrize("keep_docks", [True, False])
def test_a_closed_viewer_leaves_nothing_behind(make_napari_viewer, qtbot, keep_docks):
    viewer = make_napari_viewer()
    things = used(viewer, qtbot)
    if not keep_docks:
        viewer.window.remove_dock_widget("all")
    key = session_of(viewer).key
    viewer.close()
    del viewer
    for _ in range(3):
        qtbot.wait(50)
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
    assert [name for name, thing in things if thing() is not None] == []
    # Other tests' sessions and scenes may wait to be collected.
    assert key not in {session.key for session in _sessions.values()}
    assert key not in decoder._scenes
