"""A random walk through the explored axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_integrated_cell.latent.position import Floats
from napari_integrated_cell.plugin.explore.actions import axes_of, free, vector, with_vector

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.session import Session

_PACE = 0.05  # radians a step: in some thirty steps from one cell to an unrelated one
_STEADY = 0.98  # how much of its direction a walk keeps from step to step


class Wanderer:
    """A random walk over the explored axes that neither jumps nor leaves the cells' cloud.

    Position and pace both stay distributed as N(0, I) over the free axes: each step turns the one into the
    other by a small angle, and renews a little of the pace.
    """

    def __init__(self, session: Session, seed: int | None = None) -> None:
        self._session = session
        self._chance = np.random.default_rng(seed)
        self._pace: Floats | None = None

    def step(self, *, remember: bool = False) -> None:
        """Go one step on."""
        session = self._session
        axes, position, space = axes_of(session), session.scene.position, session.explore.space
        if axes is None or position is None:
            return
        chance = self._chance.standard_normal(len(axes)).astype(np.float32)
        if self._pace is None or len(self._pace) != len(axes):
            self._pace = chance
        pace = _STEADY * self._pace + np.sqrt(1 - _STEADY**2) * chance
        values = axes.values(vector(session, position, space))
        moved = np.cos(_PACE) * values + np.sin(_PACE) * pace
        self._pace = np.cos(_PACE) * pace - np.sin(_PACE) * values
        z = axes.moved(vector(session, position, space), {i: float(moved[i]) for i in free(session, axes)})
        session.scene.go_to(with_vector(position, space, z), remember=remember)
