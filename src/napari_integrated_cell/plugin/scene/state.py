"""State of the scene: the position in the latent spaces, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from napari_integrated_cell.plugin.layers.place import ORIGIN, Place
from napari_integrated_cell.plugin.scene.history import History
from napari_integrated_cell.plugin.signals import field_signals

if TYPE_CHECKING:
    from napari_integrated_cell.latent.position import Position
    from napari_integrated_cell.plugin.scene.key_frames import Line


@dataclass(eq=False)
class SceneState:
    """The position in the latent spaces, and what is shown of it. ``events`` has a signal for each field.

    Attributes
    ----------
    position : Position or None
        The present position. Use :meth:`go_to` to change it, so that the change can be undone.
    start : Position or None
        Where the user set out. Differences are taken to this position.
    place : Place
        Where the model's box lies in the window.
    shown : tuple of str
        The channels that are shown: reference channels and structures.
    difference : str
        The channel whose difference to the start is shown; empty if there is none.
    """

    events: ClassVar = field_signals("position", "start", "place")

    position: Position | None = None
    start: Position | None = None
    place: Place = ORIGIN
    shown: tuple[str, ...] = ("membrane", "dna", "fibrillarin", "TOM20")
    difference: str = ""

    def __post_init__(self) -> None:
        self._history: History[Position] = History()
        self._line: Line | None = None

    def go_to(self, position: Position, *, remember: bool = True, along: Line | None = None) -> None:
        """Move to a position.

        Parameters
        ----------
        position : Position
        remember : bool
            Whether :meth:`undo` returns to the position before. While a slider is dragged, only the first move is one.
        along : Line, optional
            The line that the position is moved along. Positions on it are shown sooner.
        """
        if self.position is not None and remember and position != self.position:
            self._history.remember(self.position)
        self._line = along
        self.position = position

    def set_out(self, position: Position) -> None:
        """Move to a position and make it the start."""
        self.go_to(position)
        self.start = position

    @property
    def line(self) -> Line | None:
        """The line along which the present position was reached; None if there is none."""
        return self._line if self._line is not None and self._line.position is self.position else None

    @property
    def can_undo(self) -> bool:
        """Whether there is a move to undo."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a move to redo."""
        return self._history.can_redo

    def undo(self) -> None:
        """Undo the last move."""
        if self.position is not None and self.can_undo:
            self.position = self._history.undo(self.position)

    def redo(self) -> None:
        """Redo the move that was undone last."""
        if self.position is not None and self.can_redo:
            self.position = self._history.redo(self.position)

    def leave_model(self) -> None:
        """Drop all state of the closed model."""
        self._history.clear()
        self.position = self.start = None
        self.place, self.difference = ORIGIN, ""
