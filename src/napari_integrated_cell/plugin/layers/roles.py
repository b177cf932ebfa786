"""Find the layers that show a cell's membrane and DNA, and those that hold its segmentations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.volumes import grid_shape, is_volume, volume_of
from napari_integrated_cell.vocabulary import recognise_channel

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_integrated_cell.plugin.layers.contents import ContentOf

_NUCLEUS_WORDS = {"nucleus", "nuclei", "nuclear", "dna", "nuc", "chromatin"}
_CELL_WORDS = {"cell", "cells", "cytoplasm", "membrane"}


@dataclass(frozen=True)
class Guess:
    """The layers that most probably show a cell's membrane and DNA, and its segmentations.

    ``by_look`` names the roles that were guessed from what the layers show, because their names say nothing.
    """

    membrane: Layer | None = None
    dna: Layer | None = None
    cells: Layer | None = None
    nuclei: Layer | None = None
    by_look: frozenset[str] = frozenset()


def holds_labels(layer: Layer, content_of: ContentOf) -> bool:
    """Return whether a volume holds labels: by its type, else by what it shows. Lazy stains are not looked at."""
    if isinstance(layer, Labels):
        return True
    if not isinstance(layer, Image) or not is_volume(layer):
        return False
    named_stain = recognise_channel(layer.name) is not None and not _words(layer.name) & _SEGMENTATION_WORDS
    if named_stain and not is_in_memory(volume_of(layer)):
        return False
    content = content_of(layer)
    return content is not None and content.labels


def shows(layer: Layer, labels: bool) -> str | None:
    """Return what a layer shows: ``"cells"`` or ``"nuclei"`` (segmentations), a channel of the vocabulary, or None.

    The layer's metadata state it, or its name is recognised. A segmentation never shows a stain, whatever its name.
    """
    stated = mark_of(layer).get("shows")
    if stated and labels == (stated in ("cells", "nuclei")):
        return str(stated)
    what, words = recognise_channel(layer.name), _words(layer.name)
    if not labels:
        return what
    if words & {"roof", "struct", "structure"}:
        return None
    if words & _NUCLEUS_WORDS:
        return "nuclei"
    return "cells" if what in (None, "membrane") or words & _CELL_WORDS else None


def guess_layers(layers: Iterable[Layer], selected: Iterable[Layer], content_of: ContentOf) -> Guess:
    """Guess the layers from selection, types, names and metadata, and where these say nothing from what they show.

    If a volume is selected, only layers on its grid are guessed.
    """
    selected = list(selected)
    topmost_first = [layer for layer in layers if is_volume(layer)][::-1]
    ranked = sorted(topmost_first, key=lambda layer: layer not in selected)
    ranked = [layer for layer in ranked if grid_shape(layer) == grid_shape(ranked[0])]
    segmentations = [layer for layer in ranked if holds_labels(layer, content_of)]
    images = [layer for layer in ranked if layer not in segmentations]
    found: dict[str, Layer] = {}
    for layer in ranked:
        what = shows(layer, layer in segmentations)
        if what in ("membrane", "dna", "cells", "nuclei"):
            found.setdefault(what, layer)
    named = set(found)
    _guess_segmentations(segmentations, found, content_of)
    _guess_stains([layer for layer in images if shows(layer, False) is None], found, content_of)
    return Guess(**found, by_look=frozenset(set(found) - named))


def _guess_stains(unnamed: list[Layer], found: dict[str, Layer], content_of: ContentOf) -> None:
    """Add stains whose names say nothing."""
    from napari_integrated_cell.imaging.stains import guess_stains

    if not unnamed or {"membrane", "dna"} <= set(found):
        return
    seen = [content_of(layer) for layer in unnamed]
    indices = guess_stains([content.appearance if content is not None else None for content in seen])
    for role, index in zip(("membrane", "dna"), indices, strict=True):
        if index is not None:
            found.setdefault(role, unnamed[index])


def _guess_segmentations(segmentations: list[Layer], found: dict[str, Layer], content_of: ContentOf) -> None:
    """Add segmentations whose names say nothing. Cells fill more of the image than their nuclei."""
    plain = [layer for layer in segmentations if not _words(layer.name) & (_CELL_WORDS | _NUCLEUS_WORDS)]
    plain = [layer for layer in plain if not _words(layer.name) & {"roof", "struct", "structure"}]
    plain = [layer for layer in plain if "shows" not in mark_of(layer)]
    if found.get("cells") not in (None, *plain):
        return
    if len(plain) >= 2 and "nuclei" not in found:
        filled = {layer: content.filled for layer in plain if (content := content_of(layer)) is not None}
        largest_first = sorted(filled, key=lambda layer: -filled[layer])
        if len(largest_first) >= 2:
            found["cells"], found["nuclei"] = largest_first[:2]
    if plain:
        found.setdefault("cells", plain[0])


_SEGMENTATION_WORDS = {
    *("label", "labels", "mask", "masks"),
    *("seg", "segmentation", "segmentations", "segmented"),
}


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))
