"""Show background tasks to the user: a progress bar, and a notification of errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari.utils.notifications import notification_manager, show_error
from napari.utils.progress import cancelable_progress

from napari_integrated_cell.model.runtime import is_out_of_memory

# Errors whose message is already a clear sentence for the user.
_CLEAR = (ValueError, OSError, MemoryError, ImportError)


class ActivityBar(cancelable_progress):
    """A bar in napari's activity dock. Its Cancel button acts immediately, not only at the next iteration."""

    def __init__(self, *, desc: str, total: int, on_cancel: Callable[[], Any]) -> None:
        self._cancel_now = on_cancel
        super().__init__(desc=desc, total=total)

    def cancel(self) -> None:
        """Stop the work behind the bar."""
        super().cancel()
        self._cancel_now()


def notify(what: str, error: Exception) -> None:
    """Notify the user of an error: by its message if that is clear, else with its traceback."""
    if is_out_of_memory(error):
        show_error(f"{what} needs more memory than there is: choose fewer structures, or the CPU as device.")
    elif isinstance(error, _CLEAR):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Show the message of a ValueError or OSError that an action raises at once, because of what the user chose."""
    try:
        yield
    except (ValueError, OSError) as error:
        show_error(str(error))
