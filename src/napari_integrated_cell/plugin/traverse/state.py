"""State of the dock "Mitosis traversal"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from weakref import ref

from napari_integrated_cell.plugin.signals import field_signals

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.imaging.pose import Pose
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.traverse.layers import ShownWalk
    from napari_integrated_cell.walk.traversal import Stop

CELL = ""
"""The start of a walk that begins at the active cell, in place of a stage."""


@dataclass(frozen=True)
class WalkPlan:
    """The walk that the user plans.

    Attributes
    ----------
    start : str
        A stage, or :data:`CELL`.
    end : str
        A stage.
    through : tuple of str, or None
        Stages on the way. None means all stages between the two ends, and no stage for a walk from a cell.
    steps : int
        Frames from each stop to the next.
    path, easing : str
        As :func:`~napari_integrated_cell.walk.traversal.walk` takes them.
    structures : tuple of str, or None
        The structures to decode with membrane and DNA. None means those that the scene shows.
    budget : int
        Memory for decoded frames, in MB.
    fps : float
        Frames per second of a film.
    kept_as : str
        What is written to a file: a key of :data:`~.keeper.KINDS`.
    """

    start: str = "interphase"
    end: str = "metaphase"
    through: tuple[str, ...] | None = None
    steps: int = 10
    path: str = "radial"
    easing: str = "linear"
    structures: tuple[str, ...] | None = None
    budget: int = 200
    fps: float = 10.0
    kept_as: str = "canvas"


@dataclass(frozen=True, eq=False)
class EncodedCell:
    """A cell as the stop of a walk, with its pose and the model that encoded it."""

    cell: Cell
    model: ref[IntegratedCell]
    stop: Stop
    pose: Pose


@dataclass(eq=False)
class TraverseState:
    """The planned walk and the shown one. ``events`` has a signal for ``plan`` and for ``walk``.

    Attributes
    ----------
    plan : WalkPlan
        The walk that the user plans.
    walk : ShownWalk or None
        The walk that is shown.
    encoded : EncodedCell or None
        The active cell as it was encoded last. Encoding takes a second, and every change of the plan needs it.
    """

    events: ClassVar = field_signals("walk")

    plan: WalkPlan = field(default_factory=WalkPlan)
    walk: ShownWalk | None = None

    def __post_init__(self) -> None:
        self.encoded: EncodedCell | None = None

    def leave_model(self) -> None:
        """Drop all state of the closed model. A shown walk stays."""
        self.encoded = None
