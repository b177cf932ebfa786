"""Paths between two latent positions: linear in radial coordinates, along a great circle, or straight.

Section 3.4.6 interpolates from stage to stage "linearly in radial coordinates". Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from napari_integrated_cell.arrays import Doubles

PathFunction = Callable[[ArrayLike, ArrayLike, ArrayLike], Doubles]


def radial_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """Return ``n`` positions from ``start`` to ``end``, linear in radial coordinates (section 3.4.6).

    The radius and every angle of the hyperspherical coordinates change at a constant rate. The last angle, the only
    one with a full circle, takes the shorter direction. No position is nearer to the origin than the nearer end, so
    the path stays where a normal prior has its cells. Time and memory are O(n D).

    If all coordinates of an end are zero from some coordinate on, its remaining angles are undefined: they are set to
    those of the other end, so nothing rotates without need. From the origin the path is therefore straight.

    Parameters
    ----------
    start, end : array (D,)
        The ends. For D = 1 there is no angle, and the path is straight.
    n : int
        Number of positions, at least two.

    Returns
    -------
    array of float64 (n, D)
        The first is exactly ``start`` and the last exactly ``end``.

    Raises
    ------
    ValueError
        If the ends are not two finite vectors of one length, or ``n`` is less than two.
    """
    return radial_between(start, end, _evenly(n))


def great_circle_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """Return ``n`` positions whose direction follows a great circle and whose length changes at a constant rate.

    Unlike :func:`radial_path` it does not depend on the order of the coordinates. Opposite ends have no unique great
    circle: the one nearest the coordinate axis with their smallest entry is chosen. An end at the origin has no
    direction and gets the other's. Parameters and errors are those of :func:`radial_path`.
    """
    return great_circle_between(start, end, _evenly(n))


def straight_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """Return ``n`` positions on the straight line from ``start`` to ``end``.

    It passes inside the shell where a normal prior has its cells. Parameters and errors as for :func:`radial_path`.
    """
    return straight_between(start, end, _evenly(n))


def radial_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """Return the points of :func:`radial_path` at the fractions ``at`` (n,) of the path, each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    if a.size == 1:
        return straight_between(a, b, share)
    (r_a, angles_a), (r_b, angles_b) = _radial(a), _radial(b)
    from_a = np.where(np.isnan(angles_a), angles_b, angles_a)
    to_b = np.where(np.isnan(angles_b), angles_a, angles_b)
    turn = np.nan_to_num(to_b - from_a)  # an angle that is undefined at both ends is set to 0
    if abs(turn[-1]) > np.pi:
        turn[-1] -= np.copysign(2 * np.pi, turn[-1])
    angles = np.nan_to_num(from_a) + share[:, None] * turn
    radius = (1 - share) * r_a + share * r_b
    path = np.empty((share.size, a.size))
    # x_i = r sin φ_1 … sin φ_{i-1} cos φ_i, and the last coordinate has only sines.
    path[:, 0] = 1
    np.cumprod(np.sin(angles), axis=1, out=path[:, 1:])
    path[:, :-1] *= np.cos(angles)
    return _with_ends(path * radius[:, None], a, b, share)


def great_circle_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """Return the points of :func:`great_circle_path` at the fractions ``at`` (n,), each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    if a.size == 1:
        return straight_between(a, b, share)
    r_a, r_b = _norm(a), _norm(b)
    if r_a == 0 or r_b == 0:
        return straight_between(a, b, share)
    u, v = a / r_a, b / r_b
    # arctan2 of chords: arccos loses half of the digits for angles near 0 and 180 degrees.
    angle = 2 * np.arctan2(_norm(v - u), _norm(v + u))
    across = _perpendicular(v, u)
    if _norm(across) < 1e-14:  # a rounding error: the ends are opposite, or parallel, where it is not used
        across = _perpendicular(np.eye(1, u.size, int(np.abs(u).argmin()))[0], u)
    across = _perpendicular(across / _norm(across), u)  # again, to remove rounding errors along u
    across /= _norm(across)
    phase = share * angle
    direction = np.cos(phase)[:, None] * u + np.sin(phase)[:, None] * across
    return _with_ends(((1 - share) * r_a + share * r_b)[:, None] * direction, a, b, share)


def straight_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """Return the points of :func:`straight_path` at the fractions ``at`` (n,) of the path, each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    return _with_ends(np.outer(1 - share, a) + np.outer(share, b), a, b, share)


PATHS: Mapping[str, PathFunction] = MappingProxyType(
    {"radial": radial_between, "great-circle": great_circle_between, "straight": straight_between}
)
"""Paths by name: functions from start (D,), end (D,) and fractions (n,) to positions (n, D)."""


def _radial(x: Doubles) -> tuple[float, Doubles]:
    """Return radius and angles (D - 1,) of a vector, with NaN for undefined angles.

    φ_i = atan2(|x_{i+1} … x_D|, x_i) in [0, π], and the last one is atan2(x_D, x_{D-1}) in (-π, π]. The lengths of all
    tails are accumulated by hypot from the last coordinate on, which neither overflows nor underflows.
    """
    tails = np.hypot.accumulate(np.abs(x[::-1]))[::-1]
    angles = np.arctan2(tails[1:], x[:-1])
    angles[-1] = np.arctan2(x[-1] + 0.0, x[-2])  # + 0.0 makes a negative zero positive: atan2 uses its sign
    angles[tails[:-1] == 0] = np.nan
    return float(tails[0]), angles


def _norm(x: Doubles) -> float:
    """Return the length of a vector, also if its squares overflow or underflow."""
    largest = float(np.abs(x).max())
    return largest * float(np.linalg.norm(x / largest)) if largest > 0 else 0.0


def _perpendicular(x: Doubles, unit: Doubles) -> Doubles:
    """Return the part of ``x`` that is perpendicular to a unit vector."""
    return x - (x @ unit) * unit


def _evenly(n: int) -> Doubles:
    if n < 2:
        raise ValueError(f"A path cannot have {n} positions: give 2 or more.")
    return np.linspace(0, 1, n)


def _with_ends(path: Doubles, start: Doubles, end: Doubles, share: Doubles) -> Doubles:
    """Set the path's ends to the given values, without rounding errors."""
    path[share == 0] = start
    path[share == 1] = end
    return path


def _checked(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
    a, b, share = (np.asarray(values, np.float64) for values in (start, end, at))
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            f"The ends of a path have shapes {a.shape} and {b.shape}: give two vectors of one length."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("The ends of a path hold NaN or infinite values: replace them first.")
    if share.ndim != 1 or not ((share >= 0) & (share <= 1)).all():
        raise ValueError(
            "The fractions of a path are not all between 0 and 1: give a vector of such numbers."
        )
    return a, b, share
