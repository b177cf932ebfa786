"""Split cells into training and held-out ones by a hash of an id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

SplitBy = Literal["cell", "field", "plate"]
SPLIT_BY: tuple[str, ...] = get_args(SplitBy)


SHAPE = "shape"
"""Split of the cells without a structure: they teach phase 1 only, and are neither training nor held-out cells."""


def fraction_of(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends only on ``key`` and ``seed``."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def chosen_apart(keys: Sequence[str], seed: int, share: float) -> NDArray[np.bool_]:
    """Return which of some cells are set apart, (n,): the keys with the smallest numbers, up to a share of the cells.

    Cells with one key, such as those of one field, stay together. Unless all cells have one key, at least one key is
    set apart and at least one is not.
    """
    order = sorted(set(keys), key=lambda key: fraction_of(key, seed))
    counts, apart, n = Counter(keys), set[str](), 0
    for key in order[: len(order) - 1]:
        if apart and n + counts[key] > share * len(keys):
            break
        apart.add(key)
        n += counts[key]
    return np.array([key in apart for key in keys], bool)


def split_of(key: str, seed: int, test_fraction: float) -> str:
    """Return ``"test"`` for this fraction of all keys (ids of cells, fields or plates), else ``"train"``.

    A larger fraction holds out the cells of a smaller one, and further cells.
    """
    return "test" if fraction_of(key, seed) < test_fraction else "train"
