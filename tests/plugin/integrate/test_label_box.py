"""The field for labels of any size."""

from __future__ import annotations

import pytest
from integrate_window import needs_display
from qtpy.QtCore import Qt

from napari_integrated_cell.plugin.integrate.label_box import LabelBox

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture
def box(qtbot):
    box = LabelBox()
    qtbot.addWidget(box)
    box.told = []
    box.valueChanged.connect(box.told.append)
    return box


@pytest.mark.parametrize("label", [1, 2**31, 2**53 + 1, 2**64 - 1])
def test_every_label_is_kept_exactly(box, label):
    box.setValue(label)
    assert box.value() == label
    assert box.told == [label]
    assert box.lineEdit().text() == str(label)


def test_arrows_and_keys(box, qtbot):
    box.stepUp()
    box.stepBy(10)
    box.stepDown()
    assert box.value() == 10
    qtbot.keyClicks(box.lineEdit(), "5x")
    qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    assert box.value() in (105, 510)
    box.setValue(0)
    box.stepDown()
    assert box.value() == 0
    assert box.lineEdit().text() == ""


@pytest.mark.parametrize("text", ["meta", "-3", "1.5", "²", "99999999999999999999"])
def test_other_texts_change_nothing(box, text):
    box.setValue(7)
    box.lineEdit().setText(text)
    box.editingFinished.emit()
    assert box.value() == 7
    assert box.lineEdit().text() == "7"
