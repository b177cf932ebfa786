"""State of one viewer: the model, the running tasks, and a state object for each dock. No widgets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from napari_integrated_cell.plugin.explore.state import ExploreState
from napari_integrated_cell.plugin.integrate.state import IntegrateState
from napari_integrated_cell.plugin.map.state import MapState
from napari_integrated_cell.plugin.scene.state import SceneState
from napari_integrated_cell.plugin.signals import field_signals
from napari_integrated_cell.plugin.tasks import Tasks
from napari_integrated_cell.plugin.traverse.state import TraverseState
from napari_integrated_cell.plugin.variation.state import VariationState

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

# A session holds no strong reference to its viewer: it is deleted with the viewer.
_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def _open_bundle(source: str, device: str) -> IntegratedCell:
    from napari_integrated_cell.model.bundle import load_model

    return load_model(source, device=device)


@dataclass(eq=False)
class Session:
    """State of one viewer. Every part has ``events`` with a signal for each field.

    Any part may read and listen to every state. These parts may write:

    =============  =========================================  ======================================================
    state          fields                                     written by
    =============  =========================================  ======================================================
    ``Session``    ``model_source``, ``device``               the dock integrate; the command that opens the demo
    ``Session``    ``model``                                  :meth:`open_then`; tasks that have called :meth:`load`
    ``integrate``  all                                        the dock integrate
    ``scene``      ``position`` (:meth:`SceneState.go_to`,    the docks integrate, explore, map and traverse
                   ``set_out``, ``undo``, ``redo``)
    ``scene``      ``start``                                  the docks integrate and explore
    ``scene``      ``place``                                  the docks integrate, explore and map
    ``scene``      ``shown``, ``difference``                  the scene's layers, the dock explore
    ``explore``    all                                        the dock explore
    ``map``        all                                        the dock map
    ``traverse``   all                                        the dock traverse
    ``variation``  all                                        the dock variation
    =============  =========================================  ======================================================

    Another model resets every state with its method ``leave_model``.

    Attributes
    ----------
    model_source : str
        ``"demo"`` or the path of a bundle.
    device : str
        As :func:`napari_integrated_cell.model.runtime.choose_device` takes it.
    model : IntegratedCell or None
        The model of that source on that device; None until it is loaded.
    open_model : callable
        Opens a model, from its source and device.
    tasks : Tasks
        Work in the background.
    key : str
        Identifies the layers that this session made.
    integrate, scene, explore, map, traverse, variation
        The state of each dock, and of the scene that several docks share.
    """

    events: ClassVar = field_signals("model", "open_model", "tasks")

    model_source: str = "demo"
    device: str = "auto"
    model: IntegratedCell | None = None
    open_model: Callable[[str, str], IntegratedCell] = field(default=_open_bundle)
    tasks: Tasks = field(default_factory=Tasks)
    key: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        self.integrate = IntegrateState()
        self.scene = SceneState()
        self.explore = ExploreState()
        self.map = MapState()
        self.traverse = TraverseState()
        self.variation = VariationState()
        self._loading = threading.Lock()
        self._waiting_for_model: list[Callable[[IntegratedCell], None]] = []
        self._loaded: tuple[tuple[str, str], IntegratedCell] | None = None

    def choose_model(self, source: str) -> None:
        """Choose another model. It is loaded when it is needed."""
        if source != self.model_source:
            self.model_source = source
            self.model = None
            states = (self.scene, self.integrate, self.map, self.variation, self.explore, self.traverse)
            for state in states:
                state.leave_model()

    def choose_device(self, device: str) -> None:
        """Choose another device. The model is loaded there when it is needed."""
        if device != self.device:
            self.device = device
            self.model = None

    def load(self) -> IntegratedCell:
        """Return the chosen model on the chosen device. Slow the first time: call it in a task.

        Emits no event: only the main thread sets ``model``.

        Raises
        ------
        ValueError
            If there is no such model or device, or the bundle is broken.
        """
        wanted = (self.model_source, self.device)
        with self._loading:
            if self._loaded is None or self._loaded[0] != wanted:
                self._loaded = None  # free its memory first
                self._loaded = (wanted, self.open_model(*wanted))
            return self._loaded[1]

    def open_then(self, then: Callable[[IntegratedCell], None] = lambda model: None) -> None:
        """Open the chosen model in the background, set ``model``, and call ``then`` on the main thread."""
        if self.model is not None:
            then(self.model)
            return

        def opened(model: IntegratedCell) -> None:
            if self._loaded is not None and self._loaded[0] != (self.model_source, self.device):
                start()  # the user has since chosen another model
                return
            self.model = model
            waiting, self._waiting_for_model = self._waiting_for_model, []
            for go_on in waiting:
                go_on(model)

        def start() -> None:
            self.tasks.start("model", "Opening the model", lambda task: self.load(), on_done=opened, bar=True)

        # Several docks may wait for one model: a second request must not drop the first one.
        if self.tasks.running("model") is None:
            self._waiting_for_model = []
        self._waiting_for_model.append(then)
        if len(self._waiting_for_model) == 1:
            start()

    def close(self) -> None:
        """Stop all work and start no more, because the viewer is closed."""
        self.tasks.close()
        self._waiting_for_model.clear()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer. The first call opens it with the user's preferences."""
    from napari_integrated_cell.plugin import preferences

    viewer = getattr(viewer, "__wrapped__", viewer)  # napari gives plugins a new proxy each time
    if viewer not in _sessions:
        _sessions[viewer] = Session(model_source=preferences.model(), device=preferences.device())
    return _sessions[viewer]
