"""Cells that are decoded along a line through the latent spaces, and blends between them.

While a slider moves, a blend of two decoded cells replaces decoding. It takes a small part of the time and is close to
the decoded cell. The exact cell is decoded when the slider is at rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.latent.position import Position

Volumes = dict[str, Floats]

STEPS = (1.0, 0.5, 0.25)
"""Distances between key frames, in units of the axis (standard deviations). The wide ones are decoded first."""

_MEMORY = 400_000_000  # bytes of key frames; above, the one farthest from the slider is dropped
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
    before : float, optional
        The value of the position before it.
    """

    position: Position
    value: float
    at: Callable[[float], Position]
    before: float | None = None


@dataclass(frozen=True, eq=False)
class Blend:
    """Two decoded cells, and how far the position is from the first to the second, 0 to 1."""

    first: Volumes
    last: Volumes
    share: float

    @property
    def is_exact(self) -> bool:
        """Whether the position is that of a decoded cell."""
        return self.share == 0

    def volumes(self, channels: Sequence[str]) -> Volumes:
        """Return some channels (Z, Y, X) at the position."""
        if self.is_exact:
            return {channel: self.first[channel] for channel in channels}
        share = np.float32(self.share)
        return {c: self.first[c] + share * (self.last[c] - self.first[c]) for c in channels}


class KeyFrames:
    """The cells that a model has decoded along a line. Those of another line or model are dropped.

    Only the main thread calls the methods.
    """

    def __init__(self) -> None:
        self._model: Any = None
        self._line: Line | None = None
        self._frames: dict[float, Volumes] = {}
        self._exact: tuple[Any, Position, Volumes] | None = None

    def keep_exact(self, model: Any, position: Position, volumes: Volumes, line: Line | None) -> None:
        """Keep the cell that was decoded at the position itself, on a line or not. New lines begin there."""
        self._exact = (model, position, volumes)
        if line is not None:
            self._follow(model, line)
            self.keep(model, line, line.value, volumes)

    def keep(self, model: Any, line: Line, value: float, volumes: Volumes) -> None:
        """Keep the cell (Z, Y, X) that was decoded at a value on the line, unless another line is followed by now."""
        if not self._follows(model, line):
            return
        self._frames[value] = {**self._frames.get(value, {}), **volumes}
        while len(self._frames) > 2 and sum(map(_size, self._frames.values())) > _MEMORY:
            del self._frames[max(self._frames, key=lambda at: abs(at - line.value))]

    def blend(self, model: Any, line: Line, channels: Sequence[str]) -> Blend | None:
        """Return the two nearest key frames with these channels around the position, or None."""
        self._follow(model, line)
        known = self._with(channels)
        before = max((at for at in known if at <= line.value), default=None)
        after = min((at for at in known if at >= line.value), default=None)
        if before is None or after is None or after - before > STEPS[0] * (1 + 1e-6):
            return None
        share = (line.value - before) / (after - before) if after > before else 0.0
        return Blend(self._frames[before], self._frames[after], share)

    def missing(self, model: Any, line: Line, channels: Sequence[str]) -> float | None:
        """Return the value on the line where a decoded cell helps most, or None.

        First come the values around the position at the widest step, then their neighbours, where the slider may be
        next, and then those around the position at the narrower steps.
        """
        self._follow(model, line)
        value, widest = line.value, STEPS[0]
        wanted = [*_surrounding(value, widest), *_surrounding(value - widest, widest)]
        wanted += _surrounding(value + widest, widest)
        for step in STEPS[1:]:
            wanted += _surrounding(value, step)
        known = self._with(channels)
        return next((at for at in wanted if all(abs(at - k) > _ROUNDING for k in known)), None)

    def _with(self, channels: Sequence[str]) -> list[float]:
        """Return the values of the key frames with these channels."""
        return [at for at, volumes in self._frames.items() if volumes.keys() >= set(channels)]

    def _follows(self, model: Any, line: Line) -> bool:
        same_model = self._line is not None and model is self._model
        return same_model and _same(self._line.at(line.value), line.position)  # type: ignore[union-attr]

    def _follow(self, model: Any, line: Line) -> None:
        if self._follows(model, line):
            return
        self._model, self._line, self._frames = model, line, {}
        if self._exact is not None and self._exact[0] is model and line.before is not None:
            _, position, volumes = self._exact
            if _same(line.at(line.before), position):
                self._frames[line.before] = volumes


def _surrounding(value: float, step: float) -> list[float]:
    """Return the multiples of a step below and above a value, the nearer one first."""
    low = math.floor(value / step) * step
    both = [low, low + step] if value > low else [low]
    return sorted(both, key=lambda at: abs(at - value))


def _same(one: Position, other: Position) -> bool:
    """Return whether two positions are equal up to rounding."""
    return one.z_struct.keys() == other.z_struct.keys() and all(
        np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING)
        for a, b in [(one.z_ref, other.z_ref), *((z, other.z_struct[s]) for s, z in one.z_struct.items())]
    )


def _size(volumes: Volumes) -> int:
    return sum(volume.nbytes for volume in volumes.values())
