"""Ways from one latent position to another: linear in radial coordinates, along a great circle, straight.

Section 3.4.6 walks from stage to stage "linearly in radial coordinates". Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from napari_integrated_cell.arrays import Doubles

Between = Callable[[ArrayLike, ArrayLike, ArrayLike], Doubles]


def radial_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """``n`` positions from ``start`` to ``end``, linear in radial coordinates (section 3.4.6).

    The radius and every angle of the hyperspherical coordinates change evenly, the last angle, which is the
    only one that goes all the way round, by its shorter way. So no position is nearer to the origin than the
    nearer end: a walk stays where a normal prior has its cells. Time and memory are O(n D).

    An end with nothing but zeros from some coordinate on lies on a pole, where the angles from there on are
    undefined: it takes the other end's, so that nothing turns which need not. The origin is such an end:
    from there the way is straight.

    Parameters
    ----------
    start, end : array (D,)
        The ends, of any length. With one dimension there is no angle: the path is the straight one.
    n : int
        Positions, two or more.

    Returns
    -------
    array of float64 (n, D)
        The first is ``start`` and the last ``end``, exactly.

    Raises
    ------
    ValueError
        If the ends are not two vectors of one length and finite, or ``n`` is less than two.
    """
    return radial_between(start, end, _evenly(n))


def great_circle_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """``n`` positions from ``start`` to ``end``: the direction along a great circle, the length evenly.

    Unlike :func:`radial_path` it does not depend on the order of the coordinates. Opposite ends have no one
    great circle between them: the one nearest the coordinate axis along which they have least is taken. An
    end at the origin has no direction and takes the other's. Parameters and errors as for
    :func:`radial_path`.
    """
    return great_circle_between(start, end, _evenly(n))


def straight_path(start: ArrayLike, end: ArrayLike, n: int) -> Doubles:
    """``n`` positions on the straight line from ``start`` to ``end``.

    It cuts inside the shell where a normal prior has its cells. Parameters and errors as for
    :func:`radial_path`.
    """
    return straight_between(start, end, _evenly(n))


def radial_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """:func:`radial_path` at the shares ``at`` (n,) of the way, each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    if a.size == 1:
        return straight_between(a, b, share)
    (r_a, angles_a), (r_b, angles_b) = _radial(a), _radial(b)
    angles_a, angles_b = (
        np.where(np.isnan(one), other, one) for one, other in ((angles_a, angles_b), (angles_b, angles_a))
    )
    turn = np.nan_to_num(angles_b - angles_a)  # undefined at both ends: any angle does, and 0 stands for it
    if abs(turn[-1]) > np.pi:
        turn[-1] -= np.copysign(2 * np.pi, turn[-1])
    angles = np.nan_to_num(angles_a) + share[:, None] * turn
    radius = (1 - share) * r_a + share * r_b
    path = np.empty((share.size, a.size))
    # x_i = r sin φ_1 … sin φ_{i-1} cos φ_i, and the last coordinate has only sines.
    path[:, 0] = 1
    np.cumprod(np.sin(angles), axis=1, out=path[:, 1:])
    path[:, :-1] *= np.cos(angles)
    return _with_ends(path * radius[:, None], a, b, share)


def great_circle_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """:func:`great_circle_path` at the shares ``at`` (n,) of the way, each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    if a.size == 1:
        return straight_between(a, b, share)
    r_a, r_b = _norm(a), _norm(b)
    if r_a == 0 or r_b == 0:
        return straight_between(a, b, share)
    u, v = a / r_a, b / r_b
    # By arctan2 of chords and not by arccos, which loses half the digits of small and of straight angles.
    angle = 2 * np.arctan2(_norm(v - u), _norm(v + u))
    across = _perpendicular(v, u)
    if _norm(across) < 1e-14:  # rounding is all that is left: parallel, where it is not used, or opposite
        across = _perpendicular(np.eye(1, u.size, int(np.abs(u).argmin()))[0], u)
    across = _perpendicular(across / _norm(across), u)  # again, for the first time leaves rounding along u
    across /= _norm(across)
    phase = share * angle
    direction = np.cos(phase)[:, None] * u + np.sin(phase)[:, None] * across
    return _with_ends(((1 - share) * r_a + share * r_b)[:, None] * direction, a, b, share)


def straight_between(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> Doubles:
    """:func:`straight_path` at the shares ``at`` (n,) of the way, each in [0, 1]: (n, D)."""
    a, b, share = _checked(start, end, at)
    return _with_ends(np.outer(1 - share, a) + np.outer(share, b), a, b, share)


PATHS: Mapping[str, Between] = MappingProxyType(
    {"radial": radial_between, "great-circle": great_circle_between, "straight": straight_between}
)
"""The ways by name: functions of start (D,), end (D,) and shares (n,), which give (n, D)."""


def _radial(x: Doubles) -> tuple[float, Doubles]:
    """Radius and angles (D - 1,) of a vector; NaN for an angle that nothing determines.

    φ_i = atan2(|x_{i+1} … x_D|, x_i) in [0, π], and the last one atan2(x_D, x_{D-1}) in (-π, π]. Lengths of
    all tails at once, by hypot from the last coordinate on, which neither overflows nor underflows.
    """
    tails = np.hypot.accumulate(np.abs(x[::-1]))[::-1]
    angles = np.arctan2(tails[1:], x[:-1])
    angles[-1] = np.arctan2(x[-1] + 0.0, x[-2])  # + 0.0 makes a negative zero positive: atan2 heeds its sign
    angles[tails[:-1] == 0] = np.nan
    return float(tails[0]), angles


def _norm(x: Doubles) -> float:
    """The length of a vector, also of one whose squares overflow or underflow."""
    largest = float(np.abs(x).max())
    return largest * float(np.linalg.norm(x / largest)) if largest > 0 else 0.0


def _perpendicular(x: Doubles, unit: Doubles) -> Doubles:
    """What of ``x`` is at right angles to a unit vector."""
    return x - (x @ unit) * unit


def _evenly(n: int) -> Doubles:
    if n < 2:
        raise ValueError(f"A path of {n} positions has not both its ends: ask for 2 or more.")
    return np.linspace(0, 1, n)


def _with_ends(path: Doubles, start: Doubles, end: Doubles, share: Doubles) -> Doubles:
    """The path with its ends as they were given, not as sines and cosines have rounded them."""
    path[share == 0] = start
    path[share == 1] = end
    return path


def _checked(start: ArrayLike, end: ArrayLike, at: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
    a, b, share = (np.asarray(values, np.float64) for values in (start, end, at))
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            f"A path joins two vectors of one length, but these have shapes {a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("The ends of a path hold NaN or infinite values: replace them first.")
    if share.ndim != 1 or not ((share >= 0) & (share <= 1)).all():
        raise ValueError("Shares of a path are numbers from 0 to 1.")
    return a, b, share
