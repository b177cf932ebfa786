"""Cells that are decoded along a line through the latent spaces, and blends between them.

While a slider moves, a blend of two decoded cells replaces decoding. It takes a small part of the time and is close to
the decoded cell. The exact cell is decoded when the slider is at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.latent.position import Position

Volumes = dict[str, Floats]
Decode = Callable[[Position], Volumes]

STEP = 0.25
"""Largest distance between two key frames that are blended, in units of the axis (standard deviations)."""

_MEMORY = 64_000_000  # bytes of key frames; above, the one farthest from the slider is dropped
_ROUNDING = 1e-4  # error of a latent code that was moved many times in single precision


@dataclass(frozen=True, eq=False)
class Line:
    """A position on the line along which it is moved.

    Attributes
    ----------
    position : Position
    value : float
        Its value on the line.
    at : callable
        The position at another value.
    """

    position: Position
    value: float
    at: Callable[[float], Position]


class KeyFrames:
    """The cells that a model has decoded along a line. Those of another line or model are dropped."""

    def __init__(self) -> None:
        self._model: Any = None
        self._line: Line | None = None
        self._frames: dict[float, Volumes] = {}

    def keep(self, model: Any, line: Line, volumes: Volumes) -> None:
        """Keep the volumes (Z, Y, X) that were decoded at a position."""
        self._follow(model, line)
        self._put(line.value, volumes, line.value)

    def reach(self, model: Any, line: Line, channels: Sequence[str]) -> bool:
        """Return whether these channels can be shown at a position without decoding."""
        self._follow(model, line)
        before, after = self._around(line.value, channels)
        return before is not None and after is not None and _near(before, after)

    def volumes(
        self, model: Any, line: Line, channels: Sequence[str], decode: Decode
    ) -> tuple[Volumes, bool]:
        """Return volumes (Z, Y, X) of some channels, and whether they are exact. Decodes one cell at most.

        Two key frames that are at most :data:`STEP` apart are blended. If there is only one nearby, another is decoded
        at this distance on the other side of the position. If there is none, the position itself is decoded.
        """
        value = line.value
        if not self.reach(model, line, channels):
            new = _next(value, *self._around(value, channels))
            self._put(new, decode(line.position if new == value else line.at(new)), value)
        before, after = self._around(value, channels)
        assert before is not None
        assert after is not None
        first, last = self._frames[before], self._frames[after]
        if before == after:
            return {channel: first[channel] for channel in channels}, True
        share = np.float32((value - before) / (after - before))
        return {c: first[c] + share * (last[c] - first[c]) for c in channels}, False

    def _around(self, value: float, channels: Sequence[str]) -> tuple[float | None, float | None]:
        """Return the values of the nearest key frames with these channels below and above a value."""
        known = [at for at, volumes in self._frames.items() if volumes.keys() >= set(channels)]
        return max((at for at in known if at <= value), default=None), min(
            (at for at in known if at >= value), default=None
        )

    def _put(self, value: float, volumes: Volumes, present: float) -> None:
        self._frames[value] = {**self._frames.get(value, {}), **volumes}
        while len(self._frames) > 2 and sum(map(_size, self._frames.values())) > _MEMORY:
            del self._frames[max(self._frames, key=lambda at: abs(at - present))]

    def _follow(self, model: Any, line: Line) -> None:
        if (
            self._line is None
            or model is not self._model
            or not _same(self._line.at(line.value), line.position)
        ):
            self._model, self._line, self._frames = model, line, {}


def _near(before: float, after: float) -> bool:
    return after - before <= STEP * (1 + 1e-6)


def _next(value: float, before: float | None, after: float | None) -> float:
    """Return where to decode for a value that does not lie between two near key frames."""
    if before is not None and _near(before, value):
        return before + STEP
    if after is not None and _near(value, after):
        return after - STEP
    return value


def _same(one: Position, other: Position) -> bool:
    """Return whether two positions are equal up to rounding."""
    return one.z_struct.keys() == other.z_struct.keys() and all(
        np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING)
        for a, b in [(one.z_ref, other.z_ref), *((z, other.z_struct[s]) for s, z in one.z_struct.items())]
    )


def _size(volumes: Volumes) -> int:
    return sum(volume.nbytes for volume in volumes.values())
