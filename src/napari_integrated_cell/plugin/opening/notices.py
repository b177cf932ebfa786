"""What is said about a file that was opened or not, with a button that opens the dialog of choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import Notification, notification_manager

from napari_integrated_cell.plugin.preferences import PLUGIN

BUTTON = "Choices…"
HINT = "To choose its scene, axes or reader: File > IO Utilities > Open image with choices."


class NotOpened(ValueError):
    """A file that cannot be opened as it is. The notification that napari shows of it has the button of ``actions``."""

    def __init__(self, sentence: str, path: Path) -> None:
        super().__init__(f"{sentence} {HINT}")
        self.actions = _actions(path)


def refused(error: Exception, path: Path) -> NotOpened:
    """Return an error to raise, with the sentence of ``error``. The user is notified of it if napari would not."""
    refusal = NotOpened(str(error), path)
    if _chosen_by_napari(path):
        _notify(str(refusal), path, "error")
    return refusal


def tell(notes: tuple[str, ...], path: Path) -> None:
    """Notify the user of what is to know about a file that was opened."""
    for note in notes:
        _notify(note, path, "warning")


def _notify(sentence: str, path: Path, severity: str) -> None:
    notification_manager.dispatch(Notification(sentence, severity, actions=_actions(path)))


def _chosen_by_napari(path: Path) -> bool:
    """Return whether napari takes this reader without asking. It then replaces our sentence by one of its own."""
    from napari.plugins.utils import get_preferred_reader
    from npe2 import PluginManager

    try:
        able = {
            reader.plugin_name for reader in PluginManager.instance().iter_compatible_readers([str(path)])
        }
    except ValueError:
        return False
    return able == {PLUGIN} or get_preferred_reader(str(path)) == PLUGIN


def _actions(path: Path) -> tuple[tuple[str, Any], ...]:
    def choose(_: Any = None) -> None:
        from napari_integrated_cell.plugin.opening.command import open_with_choices

        open_with_choices(path)

    return ((BUTTON, choose),)
