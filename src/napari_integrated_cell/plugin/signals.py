"""Signals of a state's fields, connections that end together, and changes that callbacks ignore."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from psygnal import SignalGroupDescriptor


def field_signals(*compared_by_identity: str) -> SignalGroupDescriptor:
    """Return ``events`` for a dataclass: a signal for each field, emitted when another value is set.

    Values of the named fields count as other ones if they are other objects, those of all other fields by ``==``.
    """
    return SignalGroupDescriptor(equality_operators=dict.fromkeys(compared_by_identity, operator.is_))


class Connections(ExitStack):
    """Connections from signals to callbacks, and what else to undo with them."""

    def connect(self, *pairs: tuple[Any, Callable[..., Any]]) -> None:
        """Connect each signal to its callback until :meth:`close` is called."""
        for signal, callback in pairs:
            signal.connect(callback)
            self.callback(signal.disconnect, callback)


class OwnChanges:
    """A context in which the program changes something that a user can change too. It is true inside."""

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
