"""Stop a run on SIGTERM, SIGUSR1 (SLURM's warning) or Ctrl-C after the current step, and save it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from napari_integrated_cell.model.runtime import CancelToken

ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))


@contextmanager
def stop_when_asked(*, twice_at_once: bool = True) -> Iterator[CancelToken]:
    """Yield a token that these signals set inside the block.

    Parameters
    ----------
    twice_at_once : bool
        Whether a second Ctrl-C stops immediately, with KeyboardInterrupt. Processes under torchrun get each Ctrl-C
        twice, from the terminal and from torchrun: use False there.
    """
    token = CancelToken()

    def ask(number: int, frame: FrameType | None) -> None:
        if twice_at_once and number == signal.SIGINT and token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield token
        return
    before = {number: signal.signal(number, ask) for number in ASKING}
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
