"""What layers show, looked at once for each layer."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Layer
from psygnal import Signal

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.plugin.layers.contents import Content, look_at
from napari_integrated_cell.plugin.layers.volumes import volume_of
from napari_integrated_cell.plugin.tasks import Task, Tasks

_NOTHING = Content(np.zeros((1, 1, 1)), labels=False)


class Contents:
    """What layers show. Layers in memory are looked at immediately, lazy ones in the background.

    Attributes
    ----------
    changed : Signal
        Emitted when lazy layers were looked at.
    """

    changed = Signal()

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._seen: WeakKeyDictionary[Layer, tuple[int, Content]] = WeakKeyDictionary()
        self._wanted: dict[Layer, Any] = {}

    def of(self, layer: Layer) -> Content | None:
        """Return what a volume shows; None while it is not known."""
        data = id(layer.data)
        if layer in self._seen and self._seen[layer][0] == data:
            return self._seen[layer][1]
        volume = volume_of(layer)
        if not is_in_memory(volume):
            self._look_later(layer, volume)
            return None
        self._seen[layer] = data, look_at(volume, isinstance(layer, Labels))
        return self._seen[layer][1]

    def look_exchanged(self, membrane: Layer, dna: Layer) -> bool:
        """Return whether two stains show the exact reverse of their roles.

        Lazy layers that were not looked at yet are not read for this: False.
        """
        from napari_integrated_cell.imaging.stains import guess_stains

        pair = membrane, dna
        if not all(is_in_memory(volume_of(layer)) or layer in self._seen for layer in pair):
            return False
        seen = [self.of(layer) for layer in pair]
        guessed = guess_stains([content.appearance if content is not None else None for content in seen])
        return guessed == (1, 0)

    def _look_later(self, layer: Layer, volume: Any) -> None:
        if layer in self._wanted:
            return
        self._wanted[layer] = volume
        wanted = [(each, id(each.data), seen) for each, seen in self._wanted.items()]

        def work(task: Task) -> None:
            for each, data, lazy in wanted:
                task.token.raise_if_cancelled()
                task.give((each, data, look_at(lazy, isinstance(each, Labels))))

        def take(found: tuple[Layer, int, Content]) -> None:
            each, data, content = found
            self._seen[each] = data, content
            self._wanted.pop(each, None)

        def give_up(error: Exception) -> bool:
            for each, data, _ in wanted:
                if self._wanted.pop(each, None) is not None:
                    self._seen[each] = data, _NOTHING
            return False

        # A later layer starts the task again for all that are not known yet.
        self._tasks.start(
            "contents",
            "Looking at layers",
            work,
            on_given=take,
            on_done=lambda _: self.changed.emit(),
            on_error=give_up,
        )
