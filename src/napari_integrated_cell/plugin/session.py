"""What the user has open in one viewer: the model, the cell, its place in the latent space. No widgets."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from psygnal import SignalGroupDescriptor

from napari_integrated_cell.plugin.explore.state import Exploration
from napari_integrated_cell.plugin.layers.place import ORIGIN, Place
from napari_integrated_cell.plugin.map.state import MapView
from napari_integrated_cell.plugin.scene.history import History
from napari_integrated_cell.plugin.tasks import Tasks
from napari_integrated_cell.plugin.traverse.state import WalkPlan
from napari_integrated_cell.plugin.variation.state import Doubt

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.imaging.pose import Box
    from napari_integrated_cell.integration import Integration
    from napari_integrated_cell.latent.population import Population
    from napari_integrated_cell.latent.position import Position
    from napari_integrated_cell.latent.projection import Projection
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.layers.volumes import Ground
    from napari_integrated_cell.plugin.scene.key_frames import Line
    from napari_integrated_cell.plugin.traverse.layers import ShownWalk
    from napari_integrated_cell.plugin.variation.state import Varied
    from napari_integrated_cell.variation.structure_variation import StructureVariation

_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def _open_bundle(source: str, device: str) -> IntegratedCell:
    from napari_integrated_cell.model.bundle import load_model

    return load_model(source, device=device)


@dataclass(eq=False)
class Session:
    """What is open in one viewer. Every field but the last three tells its changes through ``events``.

    Attributes
    ----------
    model_source : str
        ``"demo"`` or the path of a bundle.
    device : str
        As :func:`napari_integrated_cell.model.runtime.choose_device` takes it.
    model : IntegratedCell or None
        The model of that source on that device, once :meth:`load` has been through.
    cell : Cell or None
        The active cell.
    ground : Ground or None
        Where in the window the image lies that the active cell was cut from; None where it is of no layer.
    integration : Integration or None
        The last integrated cell, with its pose and its structures.
    position : Position or None
        Where the user is in the latent spaces. :meth:`go_to` moves there, so that the way back is remembered.
    start : Position or None
        Where the user set out: what a difference is a difference to.
    place : Place
        Where the model's box lies in the window: over the cell that was integrated last.
    shown : tuple of str
        The channels shown at the position: reference channels and structures.
    population : Population or None
        Cells in the latent spaces, for the map.
    map_view : MapView
        How the population is looked at, and which of its cells are selected.
    projection : Projection or None
        The population in the plane that the map shows.
    variations : mapping of str to StructureVariation
        What Algorithm 4 has found for the shape ``varied``, by structure.
    varied : Varied or None
        The shape that structures were drawn in last.
    doubt : Doubt
        Which variation is asked for, and what of it is shown.
    exploration : Exploration
        How the latent spaces are explored.
    walk_plan : WalkPlan
        The walk that the user has in mind.
    walk : ShownWalk or None
        The walk that is shown.
    key : str
        Marks what this session made.
    tasks : Tasks
        Its background work.
    open_model : callable
        How a model is opened, from its source and device.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators=dict.fromkeys(
            (
                "model",
                "cell",
                "ground",
                "integration",
                "position",
                "start",
                "place",
                "population",
                "projection",
                "variations",
                "varied",
                "exploration",
                "walk",
                "tasks",
                "open_model",
            ),
            operator.is_,
        )
    )

    model_source: str = "demo"
    device: str = "auto"
    model: IntegratedCell | None = None
    cell: Cell | None = None
    ground: Ground | None = None
    integration: Integration | None = None
    position: Position | None = None
    start: Position | None = None
    place: Place = ORIGIN
    shown: tuple[str, ...] = ("membrane", "dna", "fibrillarin", "TOM20")
    population: Population | None = None
    map_view: MapView = field(default_factory=MapView)
    projection: Projection | None = None
    variations: Mapping[str, StructureVariation] = field(default_factory=dict)
    varied: Varied | None = None
    doubt: Doubt = field(default_factory=Doubt)
    exploration: Exploration = field(default_factory=Exploration)
    walk_plan: WalkPlan = field(default_factory=WalkPlan)
    walk: ShownWalk | None = None
    key: str = field(default_factory=lambda: uuid4().hex)
    tasks: Tasks = field(default_factory=Tasks)
    open_model: Callable[[str, str], IntegratedCell] = field(default=_open_bundle)

    def __post_init__(self) -> None:
        self._loading = threading.Lock()
        self._waiting_for_model: list[Callable[[IntegratedCell], None]] = []
        self._loaded: tuple[tuple[str, str], IntegratedCell] | None = None
        self._history: History[Position] = History()
        self._line: Line | None = None

    def choose_model(self, source: str) -> None:
        """Take another model; it is loaded when it is needed."""
        if source != self.model_source:
            self.model_source = source
            self._leave_model()

    def choose_device(self, device: str) -> None:
        """Take another device; the model is loaded there when it is needed."""
        if device != self.device:
            self.device = device
            self.model = None

    def load(self) -> IntegratedCell:
        """The chosen model on the chosen device. Slow the first time: call it in a task.

        Tells nobody: events belong to the main thread, whose part is to set ``model``.

        Raises
        ------
        ValueError
            If there is no such model or device, or the bundle is broken.
        """
        wanted = (self.model_source, self.device)
        with self._loading:
            if self._loaded is None or self._loaded[0] != wanted:
                self._loaded = None  # room for the next one
                self._loaded = (wanted, self.open_model(*wanted))
            return self._loaded[1]

    def open_then(self, then: Callable[[IntegratedCell], None] = lambda model: None) -> None:
        """Open the chosen model in the background, set ``model``, and go on with ``then`` on the main thread."""
        if self.model is not None:
            then(self.model)
            return

        def opened(model: IntegratedCell) -> None:
            if self._loaded is not None and self._loaded[0] != (self.model_source, self.device):
                start()  # another was chosen meanwhile
                return
            self.model = model
            for go_on in self._waiting_for_model:
                go_on(model)

        def start() -> None:
            self.tasks.start("model", "Opening the model", lambda task: self.load(), on_done=opened, bar=True)

        # Several docks may wait for one model: a second request must not drop the first one's.
        if self.tasks.running("model") is None:
            self._waiting_for_model = []
        self._waiting_for_model.append(then)
        if len(self._waiting_for_model) == 1:
            start()

    def go_to(self, position: Position, *, remember: bool = True, along: Line | None = None) -> None:
        """Move to a position; while a slider is dragged, only the first move is one to ``remember``.

        Whoever moves ``along`` a line says so: what lies on it is shown sooner.
        """
        if self.position is not None and remember and position != self.position:
            self._history.remember(self.position)
        self._line = along
        self.position = position

    @property
    def line(self) -> Line | None:
        """The line along which the user has come to where he is, if there is one."""
        return self._line if self._line is not None and self._line.position is self.position else None

    def set_out(self, position: Position) -> None:
        """Move to a position and start from there."""
        self.go_to(position)
        self.start = position

    @property
    def can_undo(self) -> bool:
        """Whether a move can be taken back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a move that was taken back can be made again."""
        return self._history.can_redo

    def undo(self) -> None:
        """Take the last move back."""
        if self.position is not None and self.can_undo:
            self.position = self._history.undo(self.position)

    def redo(self) -> None:
        """Make the move that was taken back."""
        if self.position is not None and self.can_redo:
            self.position = self._history.redo(self.position)

    def _leave_model(self) -> None:
        """What another model cannot read goes with the model."""
        self.model = None
        self.position = self.start = self.integration = self.population = None
        self.projection, self.map_view = None, MapView()
        self.varied = None
        if self.variations:
            self.variations = {}
        self.exploration = self.exploration.with_another_model()
        self.place = ORIGIN
        self._history.clear()

    def box(self) -> Box:
        """The box that the chosen model looks into, also before it is opened. Reads the disk: call it in a task."""
        from napari_integrated_cell.imaging.pose import PAPER_BOX
        from napari_integrated_cell.integration import model_box
        from napari_integrated_cell.model.catalogue import read_manifest

        if self.model is not None:
            return model_box(self.model.config)
        try:
            return model_box(read_manifest(self.model_source).config)
        except (ValueError, OSError):  # said when the model is opened; a preview needs only some box
            return PAPER_BOX

    def opinion(self, cell: Cell) -> dict[str, float]:
        """What the classifier makes of the cell's channel ``"structure"``. Slow: call it in a task."""
        from napari_integrated_cell.integration import classify_cell

        return classify_cell(cell, "structure", self.load())


def session_of(viewer: Any) -> Session:
    """The session of a viewer, opened with the preferences when it is first asked for."""
    from napari_integrated_cell.plugin import preferences

    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins are handed a proxy, another one each time
    if viewer not in _sessions:
        _sessions[viewer] = Session(model_source=preferences.model(), device=preferences.device())
    return _sessions[viewer]
