"""The eight stages of section 3.4.5: roundness of the cell, and state of its chromatin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_integrated_cell.arrays import Doubles, Reals
from napari_integrated_cell.vocabulary import STAGE_NAMES


@dataclass(frozen=True)
class StageShape:
    """Effects of a stage on the shape of a cell.

    Attributes
    ----------
    roundness : float
        0 for a spread interphase cell, 1 for a sphere-like mitotic cell.
    volume, height : float
        Factors on the cell volume and height of interphase.
    chromatin : float
        Mean volume of the chromatin relative to the cell's.
    condensation : float
        0 for interphase chromatin, 1 for metaphase chromosomes.
    envelope : float
        Share of the nuclear envelope that is intact.
    """

    roundness: float
    volume: float
    height: float
    chromatin: float
    condensation: float
    envelope: float


STAGE_SHAPES: dict[str, StageShape] = {
    "interphase": StageShape(0.0, 1.00, 1.00, 0.287, 0.00, 1.0),
    "prophase-1": StageShape(0.25, 1.00, 1.00, 0.255, 0.35, 1.0),
    "prophase-2": StageShape(0.45, 0.97, 1.03, 0.215, 0.65, 0.85),
    "prometaphase-1": StageShape(0.70, 0.88, 1.06, 0.160, 0.85, 0.1),
    "prometaphase-2": StageShape(0.80, 0.84, 1.08, 0.140, 0.95, 0.0),
    "metaphase": StageShape(0.90, 0.82, 1.08, 0.130, 1.00, 0.0),
    "anaphase": StageShape(0.85, 0.84, 1.05, 0.128, 1.00, 0.0),
    "telophase-cytokinesis": StageShape(0.75, 0.90, 1.00, 0.150, 0.75, 0.7),
}
assert tuple(STAGE_SHAPES) == STAGE_NAMES

SPINDLE_STAGES = ("prometaphase-1", "prometaphase-2", "metaphase", "anaphase")


@dataclass(frozen=True, eq=False)
class Body:
    """A rounded body of chromatin: an ellipsoid, plate, ring or rosette, up to a factor of size.

    Attributes
    ----------
    centre : array (3,)
        Z, Y, X in µm.
    frame : array (3, 3)
        The body's axes as rows of Z, Y, X unit vectors. The first is the normal of a plate or ring.
    semi_axes : array (3,)
        Relative half lengths along these axes.
    boxiness : float
        0 for an ellipsoid, 1 for a body with flatter sides.
    hole : float
        Radius of a ring's central circle, relative to the body's; 0 for no hole.
    bend : float
        Bend of a plate's rim along its normal (anaphase plates curve around their poles).
    petals : tuple of (count, amplitude, phase)
        Lobes around the normal, for a rosette.
    """

    centre: Doubles
    frame: Doubles
    semi_axes: Doubles
    boxiness: float = 0.0
    hole: float = 0.0
    bend: float = 0.0
    petals: tuple[int, float, float] = (0, 0.0, 0.0)

    def radius(self, z: Reals, y: Reals, x: Reals) -> Reals:
        """Return the distance from the centre in mean semi-axes. Its level sets are the body's surfaces."""
        cz, cy, cx = (np.float32(c) for c in self.centre)
        frame = (self.frame / self.semi_axes[:, None]).astype(np.float32)
        n, u, v = (f[0] * (z - cz) + f[1] * (y - cy) + f[2] * (x - cx) for f in frame)
        across = u * u + v * v
        if self.bend:
            n = n - np.float32(self.bend) * (across - np.float32(0.5))
        if self.hole:
            ring = np.sqrt(across) - np.float32(self.hole)
            across = ring * ring
        along = n * n
        radius = np.sqrt(along + across)
        if self.boxiness:
            w = np.float32(self.boxiness)
            radius = (1 - w) * radius + w * np.sqrt(np.sqrt(along * along + across * across))
        if self.petals[0]:
            count, amplitude, phase = self.petals
            radius = radius * (
                1 + np.float32(amplitude) * np.cos(count * np.arctan2(v, u) + np.float32(phase))
            )
        return radius


def frame_along(angle: float, tilt: float = 0.0) -> Doubles:
    """Return axes (3, 3), the first at ``angle`` in the plane (radians from X to Y), lifted by ``tilt``."""
    c, s, ct, st = np.cos(angle), np.sin(angle), np.cos(tilt), np.sin(tilt)
    return np.array([[st, ct * s, ct * c], [0.0, c, -s], [ct, -st * s, -st * c]])


def chromatin_bodies(
    stage: str,
    rng: np.random.Generator,
    centre: Doubles,
    spindle: tuple[float, float],
    nucleus: tuple[float, float, float],
) -> tuple[list[Body], float]:
    """Draw a stage's chromatin as bodies, and half the distance in µm of its two sets (0 before anaphase).

    Parameters
    ----------
    stage : str
        One of :data:`napari_integrated_cell.vocabulary.STAGE_NAMES`.
    rng : numpy.random.Generator
        Source of random variation.
    centre : array (3,)
        Centre of the nucleus or of the spindle, Z, Y, X in µm.
    spindle : (angle, tilt)
        Spindle axis in radians.
    nucleus : (angle, elongation, flatness)
        Orientation in the plane, ratio of long to short axis, and ratio of height to their mean.
    """
    angle, elongation, flatness = nucleus
    axis = frame_along(*spindle)
    if stage in ("interphase", "prophase-1", "prophase-2"):
        root = np.sqrt(elongation)
        semi = np.array([flatness, root, 1 / root])  # normal, long, short
        frame = np.array([[1.0, 0, 0], [0, np.sin(angle), np.cos(angle)], [0, np.cos(angle), -np.sin(angle)]])
        tilt = rng.normal(0, 0.06)
        frame[0] = frame[0] + tilt * frame[1]
        frame[0] /= np.linalg.norm(frame[0])
        return [Body(centre, frame, semi, boxiness=rng.uniform(0.2, 0.7))], 0.0
    if stage == "prometaphase-1":
        semi = np.array([0.85, 1.0, 0.95]) * np.exp(rng.normal(0, 0.08, 3))
        petals = (int(rng.integers(5, 9)), rng.uniform(0.04, 0.10), rng.uniform(0, 2 * np.pi))
        return [Body(centre, axis, semi, boxiness=0.2, petals=petals)], 0.0
    if stage == "prometaphase-2":
        semi = np.array([0.75, 1.0, 0.9]) * np.exp(rng.normal(0, 0.06, 3))
        petals = (int(rng.integers(6, 10)), rng.uniform(0.05, 0.12), rng.uniform(0, 2 * np.pi))
        return [Body(centre, axis, semi, hole=rng.uniform(0.55, 0.75), petals=petals)], 0.0
    if stage == "metaphase":
        semi = np.array([rng.uniform(0.42, 0.58), 1.08, 0.92])
        return [Body(centre, axis, semi, boxiness=0.5, bend=rng.normal(0, 0.06))], 0.0
    plates = []
    if stage == "anaphase":
        half, thickness, bend, roundness = rng.uniform(2.7, 4.8), rng.uniform(0.34, 0.44), 0.2, 0.3
    else:
        half, thickness, bend, roundness = rng.uniform(5.6, 7.4), rng.uniform(0.55, 0.75), 0.12, 0.2
    for side in (-1.0, 1.0):
        turn = frame_along(spindle[0] + rng.normal(0, 0.12), spindle[1] + rng.normal(0, 0.08))
        semi = np.array([thickness, 1.05, 0.92]) * np.exp(rng.normal(0, 0.04, 3))
        plates.append(Body(centre + side * half * axis[0], turn, semi, roundness, bend=side * bend))
    return plates, float(half)
