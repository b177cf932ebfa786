"""The widget that shows which structure a layer shows, or none that the model knows."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QProgressBar

from napari_integrated_cell.latent.recognition import Recognition
from napari_integrated_cell.plugin.integrate.classification import ClassificationBars
from napari_integrated_cell.vocabulary import structure

PROBABILITIES = {"TOM20": 0.6, "ZO1": 0.2, "ST6GAL1": 0.1, "fibrillarin": 0.06, "lamin-B1": 0.04}
NONE = "The channel looks like none of the structures that the model knows."


def texts(bars: ClassificationBars) -> list[str]:
    """What the widget's labels say, from top to bottom."""
    found = [bars._grid.itemAt(i).widget() for i in range(bars._grid.count())]
    return [widget.text() for widget in found if isinstance(widget, QLabel)]


@pytest.mark.gui
def test_the_sentence_stands_above_the_bars_until_a_known_structure_is_shown(qtbot):
    bars = ClassificationBars()
    qtbot.addWidget(bars)
    bars.show_recognition(Recognition(PROBABILITIES, True, -3.0, 9.0, -5.0, 6.0))
    assert texts(bars)[0] == bars.sentence == NONE
    assert not bars.isHidden()
    assert [name for name, _ in bars.ranked] == list(PROBABILITIES)
    assert (
        sum(isinstance(bars._grid.itemAt(i).widget(), QProgressBar) for i in range(bars._grid.count())) == 4
    )
    bars.show_recognition(Recognition(PROBABILITIES, False, -9.0, 1.0, -5.0, 6.0))
    assert NONE not in texts(bars)
    assert texts(bars)[0] == structure("TOM20").label
    bars.show_recognition(Recognition(PROBABILITIES))
    assert "not measured" in texts(bars)[0]
    bars.show_recognition(None)
    assert bars.isHidden()
    assert texts(bars) == []
