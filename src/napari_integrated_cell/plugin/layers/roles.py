"""Find the layers that show a cell's membrane and DNA, and those that hold its segmentations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from napari.layers import Image, Labels, Layer

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.plugin.layers.contents import ContentOf
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.volumes import grid_shape, is_volume, volume_of
from napari_integrated_cell.vocabulary import recognise_channel

_NUCLEUS_WORDS = {"nucleus", "nuclei", "nuclear", "dna", "nuc", "chromatin"}
_CELL_WORDS = {"cell", "cells", "cytoplasm", "membrane"}
_NO_CELLS = {"roof", "struct", "structure"}
# Nuclei fill less of the image than their cells, and lie in them.
_LESS, _WITHIN = 0.9, 0.9


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
    named_stain = recognise_channel(layer.name) is not None and not _SEGMENTATION_WORDS.intersection(
        _words(layer.name)
    )
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
    what = recognise_channel(layer.name)
    if not labels:
        return what
    if set(_words(layer.name)) & _NO_CELLS:
        return None
    return _named(layer.name) or ("cells" if what in (None, "membrane") else None)


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
    """Add stains whose names say nothing.

    Beside both segmentations, a single image is mostly that of a structure: it is DNA only if it fills the nuclei.
    """
    from napari_integrated_cell.imaging.stains import guess_stains, looks_like_dna_in

    if not unnamed or {"membrane", "dna"} <= set(found):
        return
    seen = [content_of(layer) for layer in unnamed]
    if len(unnamed) == 1 and {"cells", "nuclei"} <= set(found):
        nuclei = content_of(found["nuclei"])
        if seen[0] is not None and nuclei is not None and looks_like_dna_in(seen[0].planes, nuclei.planes):
            found.setdefault("dna", unnamed[0])
        return
    indices = guess_stains([content.appearance if content is not None else None for content in seen])
    for role, index in zip(("membrane", "dna"), indices, strict=True):
        if index is not None:
            found.setdefault(role, unnamed[index])


def _guess_segmentations(segmentations: list[Layer], found: dict[str, Layer], content_of: ContentOf) -> None:
    """Add segmentations whose names say nothing, or the same. Cells fill more of the image than their nuclei."""
    stated = [layer for layer in segmentations if "shows" in mark_of(layer)]
    others = [
        layer
        for layer in segmentations
        if layer not in stated and not _NO_CELLS.intersection(_words(layer.name))
    ]
    plain = [layer for layer in others if _named(layer.name) is None]
    alike = [layer for layer in others if _named(layer.name) is not None]
    if not plain and len(alike) >= 2 and len({_named(layer.name) for layer in alike}) == 1 and not stated:
        pair = _by_size(alike, content_of)
        if pair is not None and _lies_within(pair[1], pair[0], content_of):
            found["cells"], found["nuclei"] = pair
        return
    if found.get("cells") not in (None, *plain):
        return
    if len(plain) >= 2 and "nuclei" not in found and (pair := _by_size(plain, content_of)) is not None:
        found["cells"], found["nuclei"] = pair
    if plain:
        found.setdefault("cells", plain[0])


def _by_size(layers: list[Layer], content_of: ContentOf) -> tuple[Layer, Layer] | None:
    """Return the two segmentations that fill most of the image, the larger one first; None while they are not known."""
    filled = {layer: content.filled for layer in layers if (content := content_of(layer)) is not None}
    largest_first = sorted(filled, key=lambda layer: -filled[layer])
    return (largest_first[0], largest_first[1]) if len(largest_first) >= 2 else None


def _lies_within(nuclei: Layer, cells: Layer, content_of: ContentOf) -> bool:
    """Return whether one segmentation is clearly smaller than another one and lies in it."""
    small, large = content_of(nuclei), content_of(cells)
    if small is None or large is None or small.planes.shape != large.planes.shape:
        return False
    inside = (small.planes != 0) & (large.planes != 0)
    return bool(
        0 < small.filled < _LESS * large.filled and inside.sum() >= _WITHIN * (small.planes != 0).sum()
    )


_SEGMENTATION_WORDS = {
    *("label", "labels", "mask", "masks"),
    *("seg", "segmentation", "segmentations", "segmented"),
}


def _named(name: str) -> str | None:
    """Return what the last meaningful word of a segmentation's name says: the words before it name the dish.

    "nuclei of membrane" and "nuclei · dish cell" are nuclei: what follows says where they come from.
    """
    for part in re.split(r" of | · ", name):
        for word in reversed(_words(part)):
            if word in _NUCLEUS_WORDS | _CELL_WORDS:
                return "nuclei" if word in _NUCLEUS_WORDS else "cells"
    return None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())
