"""A cell defined in µm, which can be drawn on any grid: rotated, shifted and flipped."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box

BOX = Box((32, 48, 64), 0.5)

MIDDLE = (4.6, 18.5, 18.5)

angles = st.floats(0, 2 * np.pi)
mirrors = st.tuples(st.booleans(), st.booleans())
shifts = st.tuples(*[st.floats(-0.3, 0.3)] * 3)


def body(z: Any, y: Any, x: Any) -> dict[str, Any]:
    """An asymmetric cell in its own frame (µm): elongated along x, skewed along y and x, unlike ends."""
    trunk = (x / 10) ** 2 + (y / 5) ** 2 + (z / 3.5) ** 2
    front = ((x - 8) / 6) ** 2 + ((y - 3) / 5) ** 2 + (z / 2.5) ** 2
    horn = ((x + 1) / 3) ** 2 + ((y - 6) / 5) ** 2 + (z / 2.5) ** 2
    depth = np.minimum(np.minimum(trunk, front), horn)
    return {
        "cell": depth < 1,
        "nucleus": ((x - 1) / 4) ** 2 + ((y - 0.5) / 3) ** 2 + ((z - 0.3) / 2) ** 2 < 1,
        "membrane": np.exp(-((np.sqrt(depth) - 1) ** 2) / 0.02),
        "dna": np.exp(-(((x - 2) / 3) ** 2) - (y / 2) ** 2 - (z / 1.5) ** 2),
        "TOM20": np.exp(-(((x - 6) / 2.5) ** 2) - ((y - 3) / 2) ** 2 - (z / 1.5) ** 2),
    }


def placement(
    angle: float, mirrored: tuple[bool, bool], at: tuple[float, float, float]
) -> NDArray[np.float64]:
    """(4, 4) affine from the body's frame to µm in an image: mirrored, turned about Z, moved."""
    c, s = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[1:3, 1:3] = np.array([[c, s], [-s, c]]) @ np.diag([-1.0 if m else 1.0 for m in mirrored])
    affine[:3, 3] = at
    return affine


def drawn(
    place: NDArray[np.float64],
    voxel_size: tuple[float, float, float] = (0.4, 0.25, 0.25),
    shape: tuple[int, int, int] = (24, 150, 150),
    offset: tuple[int, int, int] = (0, 0, 0),
    background: float = 0.0,
) -> Cell:
    """The body on an image's grid."""
    at = np.stack(np.meshgrid(*[np.arange(n) + o for n, o in zip(shape, offset, strict=True)], indexing="ij"))
    at = at * np.asarray(voxel_size)[:, None, None, None]
    back = np.linalg.inv(place)
    seen = body(*(np.einsum("ij,jzyx->izyx", back[:3, :3], at) + back[:3, 3][:, None, None, None]))
    channels = {name: background + 1000 * seen[name] for name in ("membrane", "dna", "TOM20")}
    return Cell(channels, seen["cell"], seen["nucleus"] & seen["cell"], voxel_size, offset=offset)


CANONICAL = placement(0.0, (False, False), MIDDLE)
