"""Which side of the split a cell is on: decided by what it is, never by when it came or where it stands."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

SplitBy = Literal["cell", "field", "plate"]
SPLIT_BY: tuple[str, ...] = get_args(SplitBy)


def fraction_of(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on ``key`` and ``seed`` alone: the same on every machine, in any order."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(key: str, seed: int, test_fraction: float) -> str:
    """``"test"`` for that fraction of all keys (a cell's, field's or plate's id), else ``"train"``.

    A larger fraction only adds to the cells held out.
    """
    return "test" if fraction_of(key, seed) < test_fraction else "train"
