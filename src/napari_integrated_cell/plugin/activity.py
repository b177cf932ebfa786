"""What the user sees of background work: a bar in napari's activity dock, and a sentence when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils.notifications import notification_manager, show_error
from napari.utils.progress import cancelable_progress

from napari_integrated_cell.model.runtime import is_out_of_memory

# Errors whose message is already one clear sentence for the person at the window.
_SPOKEN = (ValueError, OSError, MemoryError, ImportError)


class ActivityBar(cancelable_progress):
    """A bar of the activity dock whose Cancel button acts at once, not only at the next iteration."""

    def __init__(self, *, desc: str, total: int, on_cancel: Callable[[], Any]) -> None:
        self._cancel_now = on_cancel
        super().__init__(desc=desc, total=total)

    def cancel(self) -> None:
        """Stop the work behind the bar."""
        super().cancel()
        self._cancel_now()


def tell(what: str, error: Exception) -> None:
    """Notify the user of an error: its own sentence where it is meant for people, else with its traceback."""
    if is_out_of_memory(error):
        show_error(f"{what} needs more memory than there is: choose fewer structures, or the CPU as device.")
    elif isinstance(error, _SPOKEN):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)
