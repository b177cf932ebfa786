"""Choose the layers of membrane, DNA, cells and nuclei."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout

from napari_integrated_cell.plugin.integrate.contents import Contents
from napari_integrated_cell.plugin.integrate.guess_mark import GuessMark
from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.refusals import MissingLayer, Refusal, refusal_of
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.roles import Guess, guess_layers, holds_labels
from napari_integrated_cell.plugin.layers.volumes import grid_shape, is_volume
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.inputs import described

_STAINS, _SEGMENTATIONS = ("membrane", "dna"), ("cells", "nuclei")
_ROLES: dict[str, tuple[str, str, str]] = {
    "membrane": (
        "Membrane",
        "none (rendered)",
        "The stain of the cell's outline: the paper's reference channel x^r, membrane.\n"
        "Without one it is rendered from the cell segmentation.",
    ),
    "dna": (
        "DNA",
        "none (rendered)",
        "The stain of the nucleus or chromosomes: the paper's reference channel x^r, DNA.\n"
        "Without one it is rendered from the nucleus segmentation.",
    ),
    "cells": (
        "Cells",
        "none (found by click)",
        "Segmentation of the cells, one label for each: a Labels layer, or an image that holds labels.\n"
        "Without one, the cell you click is found by a seeded watershed.",
    ),
    "nuclei": (
        "Nuclei",
        "none (found in DNA)",
        "Segmentation of the nuclei, with the labels of their cells.\n"
        "Without one, the nucleus is found by a threshold on the DNA layer inside the cell.",
    ),
}


class LayerChooser(QObject):
    """The lists of the layers for each role, as rows of a form.

    Layers are guessed from selection, types, names, metadata and from what they show. Signals: ``changed`` with every
    change of a layer, ``settled`` after the user has chosen one or all were guessed.
    """

    changed = Signal()
    settled = Signal()

    def __init__(self, viewer: Any, session: Session, form: QFormLayout) -> None:
        super().__init__(form)
        self._viewer, self._tasks = viewer, session.tasks
        self._contents = Contents(session.tasks)
        self._by_hand: set[str] = set()
        self._guess = Guess()
        self._combos: dict[str, LayerCombo] = {}
        for role, (title, none, tip) in _ROLES.items():
            combo = described(LayerCombo(viewer, partial(self._accepts, role), none), title, tip)
            combo.chosen.connect(self._mark_guesses)
            combo.chosen.connect(self.changed)
            combo.chosen_by_hand.connect(partial(self._take_choice, role))
            self._combos[role] = combo
        self.guess_marks: dict[tuple[str, str], GuessMark] = {}
        for pair in (_STAINS, _SEGMENTATIONS):
            first, second = (self._combos[role] for role in pair)
            titles = _ROLES[pair[0]][0], _ROLES[pair[1]][0]
            self.guess_marks[pair] = GuessMark(titles, (first, second), partial(self._by_hand.update, pair))
            form.addRow(titles[0], first)
            form.addRow(titles[1], second)
            form.addRow(self.guess_marks[pair])
        self._contents.changed.connect(self.refresh)

    def combo(self, role: str) -> LayerCombo:
        """Return the list of layers for ``"membrane"``, ``"dna"``, ``"cells"`` or ``"nuclei"``."""
        return self._combos[role]

    @property
    def source(self) -> Any:
        """The layer on whose grid the cell lies, or None."""
        return next(iter(self.layers), None)

    @property
    def layers(self) -> list[Any]:
        """All chosen layers: membrane, DNA, cells and nuclei, as far as there are such."""
        return [combo.layer for combo in self._combos.values() if combo.layer is not None]

    @property
    def guessed_stains(self) -> list[str]:
        """The titles of the stains that were guessed from what the layers show."""
        return [_ROLES[role][0] for role in _STAINS if self._is_guessed(role)]

    def refresh(self) -> None:
        """Offer the viewer's present layers."""
        for role, combo in self._combos.items():
            before = combo.layer
            combo.refresh()
            if combo.layer is not before:
                self._by_hand.discard(role)  # the layer chosen by hand is gone
        self.guess()

    def guess(self) -> None:
        """Guess the layers that were not chosen by hand."""
        layers = self._all_layers()
        replaced = {mark_of(layer).get("made_of") for layer in layers}
        layers = [layer for layer in layers if str(layer.unique_id) not in replaced]
        selected = [layer for layer in layers if layer in self._viewer.layers.selection]
        before, self._guess = self._guess, guess_layers(layers, selected, self._contents.of)
        free = [role for role in _ROLES if role not in self._by_hand]
        segmented = None not in (self._guess.cells, self._guess.nuclei)
        for role in free:
            found, shown = getattr(self._guess, role), self._combos[role].layer
            if found is not None:
                self._combos[role].layer = found
            elif (
                segmented and shown is not None and role in before.by_look and shown is getattr(before, role)
            ):
                self._combos[role].layer = None  # segmentations that came later say that it is no stain
        self._mark_guesses()
        self.settled.emit()

    def release(self, layer: Any) -> None:
        """Choose a layer for no role any more: another one was made of it."""
        for role in _ROLES:
            if self._combos[role].layer is layer:
                self._by_hand.discard(role)
                self._combos[role].layer = None
        self.guess()

    def checked(self, structure: Any = None) -> list[Any]:
        """Return the chosen layers, which fit together and to a layer of a structure.

        Raises
        ------
        Refusal
            If no layer is chosen, their sizes differ, one layer is both stains, or a stain holds labels.
        """
        source = self.source
        if source is None:
            raise self._no_layer()
        for layer in [*self.layers, structure]:
            if layer is not None and grid_shape(layer) != grid_shape(source):
                raise Refusal(
                    f"{layer.name!r} has {grid_shape(layer)} voxels but {source.name!r} has "
                    f"{grid_shape(source)}: choose layers of one image."
                )
        membrane, dna = stains = [self._combos[role].layer for role in _STAINS]
        if dna is membrane and membrane is not None:
            raise Refusal(
                f"{membrane.name!r} is chosen as Membrane and as DNA: choose another layer for one of them, or none."
            )
        for layer in stains:
            if layer is not None and holds_labels(layer, self._contents.of):
                raise Refusal(
                    f"{layer.name!r} holds labels and no stain: choose another layer, or make labels of it.",
                    "make labels",
                    layer=layer,
                )
        return self.layers

    def with_mends(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the action that makes more layers usable, if it has none and there is one.

        If a layer is missing, it names another one that does not fit.
        """
        for other in (refusal_of(layer) for layer in self._unusable()):
            if other.mends and not refusal.mends:
                return Refusal(str(refusal), *other.mends, layer=other.layer)
        source = self.source
        if isinstance(refusal, MissingLayer) and source is not None:
            for layer in self._all_layers()[::-1]:
                if is_volume(layer) and layer.visible and grid_shape(layer) != grid_shape(source):
                    return Refusal(
                        f"{refusal} {layer.name!r} has {grid_shape(layer)} voxels but {source.name!r} has "
                        f"{grid_shape(source)}: layers of one image have the same."
                    )
        return refusal

    def close_down(self) -> None:
        """Stop looking at layers."""
        self._contents.changed.disconnect(self.refresh)
        self._tasks.cancel("contents")

    def _take_choice(self, role: str) -> None:
        self._by_hand.add(role)
        self._mark_guesses()
        self.settled.emit()

    def _mark_guesses(self) -> None:
        """Say which layers are guessed, and which look exchanged, whoever has chosen them."""
        for (first, second), mark in self.guess_marks.items():
            mark.say((self._is_guessed(first), self._is_guessed(second)), self._look_exchanged(first, second))

    def _is_guessed(self, role: str) -> bool:
        layer = self._combos[role].layer
        by_look = role in self._guess.by_look and role not in self._by_hand
        return by_look and layer is not None and layer is getattr(self._guess, role)

    def _look_exchanged(self, first: str, second: str) -> bool:
        one, other = self._combos[first].layer, self._combos[second].layer
        if one is None or other is None or one is other:
            return False
        if {first, second} & self._guess.by_look:
            guessed = getattr(self._guess, first), getattr(self._guess, second)
            if one is guessed[1] and other is guessed[0]:
                return True
        return first == "membrane" and self._contents.look_exchanged(one, other)

    def _all_layers(self) -> list[Any]:
        return [getattr(layer, "__wrapped__", layer) for layer in self._viewer.layers]

    def _accepts(self, role: str, layer: Any) -> bool:
        if not is_volume(layer):
            return False
        return isinstance(layer, Image) if role in _STAINS else holds_labels(layer, self._contents.of)

    def _no_layer(self) -> Refusal:
        """Return why no layer is chosen: the active layer cannot be used, or another one first needs an action."""
        refusals = [refusal_of(layer) for layer in self._unusable()]
        active = getattr(self._viewer.layers.selection, "active", None)
        best = sorted(refusals, key=lambda refusal: (not refusal.mends, refusal.layer is not active))
        if best and (best[0].mends or best[0].layer is active):
            return best[0]
        if any(is_volume(layer) for layer in self._all_layers()):
            return Refusal("No layer is chosen: choose your layers in the lists above.")
        return Refusal("No layer is chosen: open an image or a segmentation of cells, (Z, Y, X).")

    def _unusable(self) -> list[Any]:
        """Return the visible layers that are no volumes, the topmost first."""
        return [
            layer
            for layer in self._all_layers()[::-1]
            if not is_volume(layer) and "run" not in mark_of(layer) and layer.visible
        ]
