"""Undo and redo of a value that is replaced as a whole."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """Earlier values, and values that were undone.

    Parameters
    ----------
    limit : int
        Number of earlier values that are kept.
    """

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._before: list[T] = []
        self._after: list[T] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier value."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether a value was undone and no new one was remembered since."""
        return bool(self._after)

    def remember(self, state: T) -> None:
        """Remember the present value before a new one replaces it."""
        self._before.append(state)
        del self._before[: -self._limit]
        self._after.clear()

    def undo(self, state: T) -> T:
        """Return the value before ``state``. :meth:`redo` returns ``state`` again."""
        self._after.append(state)
        return self._before.pop()

    def redo(self, state: T) -> T:
        """Return the value that was undone last."""
        self._before.append(state)
        return self._after.pop()

    def clear(self) -> None:
        """Drop all values."""
        self._before.clear()
        self._after.clear()
