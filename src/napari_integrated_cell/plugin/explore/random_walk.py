"""A random walk through the explored axes."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.explore.actions import axes_of, free, vector, with_vector
from napari_integrated_cell.plugin.session import Session

_ANGLE = 0.05  # radians of a step: after about thirty steps the cell is unrelated to the first one
_PERSISTENCE = 0.98  # share of the velocity that is kept from step to step


class RandomWalk:
    """A smooth random walk over the explored axes that stays where cells are.

    Position and velocity are both distributed as N(0, I) over the axes that are not locked. Each step rotates one into
    the other by a small angle, and draws a small part of the velocity anew. Both distributions stay as they are.
    """

    def __init__(self, session: Session, seed: int | None = None) -> None:
        self._session = session
        self._rng = np.random.default_rng(seed)
        self._velocity: Floats | None = None

    def step(self, *, remember: bool = False) -> None:
        """Take one step. With ``remember``, the user can undo it."""
        session = self._session
        axes, position, space = axes_of(session), session.scene.position, session.explore.space
        if axes is None or position is None:
            return
        drawn = self._rng.standard_normal(len(axes)).astype(np.float32)
        if self._velocity is None or len(self._velocity) != len(axes):
            self._velocity = drawn
        velocity = _PERSISTENCE * self._velocity + np.sqrt(1 - _PERSISTENCE**2) * drawn
        values = axes.values(vector(session, position, space))
        moved = np.cos(_ANGLE) * values + np.sin(_ANGLE) * velocity
        self._velocity = np.cos(_ANGLE) * velocity - np.sin(_ANGLE) * values
        z = axes.moved(vector(session, position, space), {i: float(moved[i]) for i in free(session, axes)})
        session.scene.go_to(with_vector(position, space, z), remember=remember)
