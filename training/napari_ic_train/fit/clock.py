"""Clock of a phase in training: time spent, time left, and whether a checkpoint is due."""

from __future__ import annotations

import time

from napari_ic_train.config import PhaseConfig
from napari_ic_train.run.checkpoint import PhasePoint


class PhaseClock:
    """Measures the time of a phase, including the time before restarts.

    Parameters
    ----------
    start : PhasePoint
        The point at which this process starts or resumes the phase.
    length : PhaseConfig
        The length of the phase.
    """

    def __init__(self, start: PhasePoint, length: PhaseConfig) -> None:
        self._now = time.monotonic()
        self._began = self._now - start.seconds
        self._saved = self._now
        self._epoch, self._length = start.epoch, length

    def seconds(self) -> float:
        """Return the time spent on the phase so far."""
        return time.monotonic() - self._began

    def seconds_left(self, epoch: float) -> float:
        """Estimate the time until the phase ends from the speed of this process, after ``epoch`` finished epochs."""
        now, length = time.monotonic(), self._length
        left = (now - self._now) / max(epoch - self._epoch, 1e-9) * (length.epochs - epoch)
        if length.max_minutes is not None:
            left = min(left, max(60 * length.max_minutes - (now - self._began), 0.0))
        return left

    def saved(self) -> None:
        """Note that a checkpoint was written."""
        self._saved = time.monotonic()

    def checkpoint_due(self, minutes: float | None) -> bool:
        """Return whether the last checkpoint is at least this old; never with None."""
        return minutes is not None and time.monotonic() - self._saved >= 60 * minutes
