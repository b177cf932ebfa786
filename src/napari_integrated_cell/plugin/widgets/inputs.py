"""Combo boxes, buttons and texts as all docks have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QToolButton, QWidget

W = TypeVar("W", bound=QWidget)


def described(widget: W, name: str, tip: str) -> W:
    """Return a widget with an accessible name and a tool tip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)
    return widget


def combo(
    name: str,
    tip: str,
    items: Mapping[Any, str] | None = None,
    *,
    characters: int = 8,
    choose: Callable[[Any], Any] | None = None,
) -> QComboBox:
    """Return a combo box that is at least some ``characters`` wide, and not as wide as its longest item.

    Parameters
    ----------
    name, tip : str
        Its accessible name and its tool tip.
    items : mapping, optional
        Labels by value.
    characters : int
        Its smallest width.
    choose : callable, optional
        Called with the value that the user chooses.
    """
    box = described(QComboBox(), name, tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(characters)
    offer(box, items or {}, next(iter(items or {}), None))
    if choose is not None:
        box.activated.connect(lambda index: choose(box.itemData(index)))
    return box


def offer(box: QComboBox, items: Mapping[Any, str], chosen: object) -> None:
    """Offer items, labels by value, unless a combo box offers them already; and choose one."""
    if [(box.itemData(i), box.itemText(i)) for i in range(box.count())] != [*items.items()]:
        box.clear()
        for value, label in items.items():
            box.addItem(label, value)
    box.setCurrentIndex(box.findData(chosen))


def button(text: str, tip: str, do: Callable[[], Any] | None = None) -> QPushButton:
    """Return a button that calls ``do`` when it is pressed."""
    made = QPushButton(text)
    made.setToolTip(tip)
    if do is not None:
        made.clicked.connect(lambda _: do())
    return made


def tool_button(text: str, tip: str) -> QToolButton:
    """Return a small button."""
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    return made


def text_label() -> QLabel:
    """Return a label whose text wraps and can be selected with the mouse."""
    return QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
