"""What is said about a file that was opened or not, with a button that opens the dialog of choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import Notification, notification_manager

BUTTON = "Open with choices…"
HINT = "To choose its scene, axes or reader: File > IO Utilities > Open image with choices."


class NotOpened(ValueError):
    """A file that cannot be opened as it is. The notification that napari shows of it has the button of ``actions``."""

    def __init__(self, sentence: str, path: Path) -> None:
        super().__init__(f"{sentence} {HINT}")
        self.actions = _actions(path)


def tell(notes: tuple[str, ...], path: Path) -> None:
    """Notify the user of what is to know about a file that was opened."""
    for note in notes:
        notification_manager.dispatch(Notification(note, "warning", actions=_actions(path)))


def _actions(path: Path) -> tuple[tuple[str, Any], ...]:
    def choose(_: Any = None) -> None:
        from napari_integrated_cell.plugin.opening.command import open_with_choices

        open_with_choices(path)

    return ((BUTTON, choose),)
