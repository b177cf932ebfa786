"""The tick "Mean over four mirror images" of the dock."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import EchoModel, add_cell, fields, needs_display, opened_dock, run

from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


def test_the_mean_over_mirror_images_is_shown_if_it_is_ticked(viewer, qtbot, simulated, monkeypatch):
    seen, encode = [], EchoModel.encode
    monkeypatch.setattr(
        EchoModel, "encode", lambda self, x, **more: (seen.append(len(x)), encode(self, x, **more))[1]
    )
    add_cell(viewer, simulated)
    dock = opened_dock(viewer)
    dock.structures.tick(["fibrillarin"])
    shown = {}
    for ticked in (False, True):
        dock.ensemble.setChecked(ticked)
        run(qtbot, viewer, dock)
        assert seen[-1] == (4 if ticked else 1)
        integration = session_of(viewer).integrate.integration
        assert (integration.spreads is not None) == ticked
        (layer,) = [x for x in viewer.layers if x.name.startswith(("fibrillarin", "Fibrillarin"))]
        assert fields(layer)["ensemble"] is ticked
        shown[ticked] = np.array(layer.data)
    # The stand-in model shows the DNA that it is given, so the four agree.
    np.testing.assert_allclose(shown[True], shown[False], atol=1e-6)
