"""Undo and redo of anything that is replaced as a whole."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """States that were, and states that were undone.

    Parameters
    ----------
    limit : int
        How many are kept.
    """

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._before: list[T] = []
        self._after: list[T] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before this one."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone and nothing new has come since."""
        return bool(self._after)

    def remember(self, state: T) -> None:
        """``state`` is about to be left for a new one."""
        self._before.append(state)
        del self._before[: -self._limit]
        self._after.clear()

    def undo(self, state: T) -> T:
        """The state before ``state``, which can be had back by :meth:`redo`."""
        self._after.append(state)
        return self._before.pop()

    def redo(self, state: T) -> T:
        """The state that was undone last."""
        self._before.append(state)
        return self._after.pop()

    def clear(self) -> None:
        """Forget all."""
        self._before.clear()
        self._after.clear()
