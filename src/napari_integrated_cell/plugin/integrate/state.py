"""State of the dock "Integrate structures"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.integration import Integration
from napari_integrated_cell.plugin.layers.place import ImageFrame
from napari_integrated_cell.plugin.signals import field_signals


@dataclass(eq=False)
class IntegrateState:
    """The active cell and what was predicted for it. ``events`` has a signal for each field.

    Attributes
    ----------
    cell : Cell or None
        The active cell.
    image_frame : ImageFrame or None
        Where the image of the active cell lies in the window. None if the cell comes from no layer.
    integration : Integration or None
        The last integrated cell, with its pose and its structures.
    """

    events: ClassVar = field_signals("cell", "image_frame", "integration")

    cell: Cell | None = None
    image_frame: ImageFrame | None = None
    integration: Integration | None = None
    _clicks: dict[str, int] = field(default_factory=dict)

    def number_of(self, click: str) -> int:
        """Return the number of a cell that was chosen by a click, 1 for the first one. It is a part of its name."""
        return self._clicks.setdefault(click, len(self._clicks) + 1)

    def leave_model(self) -> None:
        """Drop all state of the closed model."""
        self.integration = None

    @property
    def active_cell(self) -> Cell | None:
        """The active cell, or the cell that was integrated last if none is active."""
        return self.integration.cell if self.cell is None and self.integration is not None else self.cell
