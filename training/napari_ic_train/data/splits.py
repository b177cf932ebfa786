"""Split cells into training and held-out ones by a hash of an id."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

SplitBy = Literal["cell", "field", "plate"]
SPLIT_BY: tuple[str, ...] = get_args(SplitBy)


def fraction_of(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends only on ``key`` and ``seed``."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(key: str, seed: int, test_fraction: float) -> str:
    """Return ``"test"`` for this fraction of all keys (ids of cells, fields or plates), else ``"train"``.

    A larger fraction holds out the cells of a smaller one, and further cells.
    """
    return "test" if fraction_of(key, seed) < test_fraction else "train"
