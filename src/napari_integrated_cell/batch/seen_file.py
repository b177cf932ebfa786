"""Look at an image file: what its name says, and which of its channels hold labels."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.imaging.choices import MissingInput, ReadingChoices
from napari_integrated_cell.imaging.labels import looks_like_labels
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, READABLE_EXTENSIONS, read_image
from napari_integrated_cell.vocabulary import recognise_channel

CELLS, NUCLEI, STRUCTURE, IMAGE = "cells", "nuclei", "structure", "image"

_WORDS: dict[str, frozenset[str]] = {
    NUCLEI: frozenset({"nucleus", "nuclei", "nuclear", "nuc", "dna", "chromatin"}),
    CELLS: frozenset({"cell", "cells", "cyto", "cytoplasm", "membrane", "memb"}),
    STRUCTURE: frozenset({"structure", "struct", "protein", "gfp", "egfp"}),
    "labels": frozenset(
        {"label", "labels", "labeled", "labelled", "mask", "masks", "cp", "crop"}
        | {"seg", "segmentation", "segmentations", "segmented"}
    ),
    IMAGE: frozenset({"image", "images", "img", "raw", "stack", "stain", "stains", "intensity"}),
}
_LABELLED = frozenset({"cell", "cells", "nucleus", "nuclei", "nuc"})
_STAINS = frozenset({"membrane", "memb", "dna", "chromatin"})
_ROOF = "roof"
_TOKEN = re.compile(r"([^\W\d_]+)(\d*)")
# Words of Latin letters and digits, and those of another script. "対照cells" is two words.
_CHUNK = re.compile(r"[A-Za-z0-9\u00c0-\u024f]+|[^\W_A-Za-z0-9\u00c0-\u024f]+")
_SEPARATORS = tuple(" _-.,;")


@dataclass(frozen=True, eq=False)
class SeenFile:
    """An image file of a folder.

    Attributes
    ----------
    are_labels : tuple of bool
        Whether each channel holds labels, by its content.
    filled : float
        Share of the first channel's middle plane that is not zero.
    """

    path: Path
    channels: tuple[str, ...]
    are_labels: tuple[bool, ...]
    filled: float

    @property
    def tokens(self) -> tuple[str, ...]:
        """The words of the file's name, without its ending."""
        return tokens_of(stem_of(self.path))

    @property
    def is_segmentation(self) -> bool:
        """Whether all of its channels hold labels."""
        return all(self.are_labels)

    @property
    def is_crop_seg(self) -> bool:
        """Whether it has the channels of a ``crop_seg`` file of the public dataset. Such files do not name them."""
        return self.is_segmentation and len(self.channels) == len(CROP_SEG_CHANNELS) and "seg" in self.tokens

    @property
    def shows(self) -> str:
        """What its name says that it shows: cells, nuclei, a channel of the vocabulary, ``"structure"``, or nothing."""
        return meaning(stem_of(self.path))

    @property
    def key(self) -> str:
        """The name of its field: the file's name without the words for what it shows."""
        return _key(stem_of(self.path), role=True)

    @property
    def keys(self) -> tuple[str, ...]:
        """Possible names of an image's field: without the words for images, for what it shows, for a structure."""
        stem = stem_of(self.path)
        return _key(stem), _key(stem, role=True), _key(stem, role=True, structure=True)

    @property
    def narrow_key(self) -> str:
        """The last of ``keys``, with only the last name of a stain left out: ``LAMP1_DNA`` is of a field LAMP1."""
        return _key(stem_of(self.path), role=True, structure=True, once=True)

    @property
    def shape(self) -> str:
        """The file's name with nothing in place of the words that are left out, and all separators."""
        stem = unicodedata.normalize("NFC", stem_of(self.path))
        for start, stop in _words_left_out(stem, role=True):
            stem = stem[:start] + stem[stop:]
        return stem


def look(path: Path, choices: ReadingChoices) -> SeenFile:
    """Return what is seen of a file. A few planes of each channel are read.

    Scenes, times and axes are chosen for the files that have them.

    Raises
    ------
    ValueError, OSError
        If it cannot be read.
    """
    try:
        image = read_image(path, lazy=True, **asdict(choices))
    except MissingInput:
        image = read_image(path, lazy=True, reader=choices.reader)
    middle = np.asarray(image.data[0][image.data.shape[1] // 2])
    filled = float((middle != 0).mean())
    labels = tuple(looks_like_labels(volume) for volume in image.data)
    if len(labels) == 1 and filled == 0 and image.data.dtype.kind in "iu" and _says_labels(stem_of(path)):
        labels = (labels[0] or is_empty(image.data[0]),)
    return SeenFile(path, image.channel_names, labels, filled)


def is_empty(volume: Any) -> bool:
    """Return whether a volume (Z, Y, X) is 0 everywhere. Its planes are read up to the first that is not."""
    return not any(np.asarray(volume[z]).any() for z in range(volume.shape[0]))


def _says_labels(name: str) -> bool:
    """Return whether a name is that of labels of cells or nuclei, and of no stain."""
    words = {_word(token) for token in tokens_of(name)}
    says = bool(words & _WORDS["labels"]) or (bool(words & _LABELLED) and not words & _STAINS)
    return says and meaning(name) in (CELLS, NUCLEI)


def meaning(name: str) -> str:
    """Return what labels with this name show: ``"cells"``, ``"nuclei"``, ``"structure"``, or empty if it says nothing.

    The last word counts. A stain's name means what it shows: labels of the membrane are cells.
    """
    tokens = tokens_of(name)
    if any(token.lower() == _ROOF for token in tokens):
        return STRUCTURE
    for token in reversed(tokens):
        word = _word(token)
        for role in (NUCLEI, CELLS, STRUCTURE):
            if word in _WORDS[role]:
                return role
    recognised = recognise_channel(name)
    return {"membrane": CELLS, "dna": NUCLEI, None: ""}.get(recognised, STRUCTURE)


def stain_of(name: str) -> str:
    """Return what a channel of intensities with this name shows: of the vocabulary, ``"structure"``, or empty."""
    recognised = recognise_channel(name)
    if recognised:
        return recognised
    return STRUCTURE if any(_word(token) in _WORDS[STRUCTURE] for token in tokens_of(name)) else ""


def tokens_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, split at blanks and punctuation, and at capitals before the words of roles."""
    return tuple(name[start:stop] for start, stop in _spans(name))


def stem_of(path: Path) -> str:
    """Return a file's name without its ending."""
    for ending in READABLE_EXTENSIONS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def _word(token: str) -> str:
    """Return a word in lower case without the number after it."""
    match = _TOKEN.fullmatch(token)
    return (match[1] if match else token).casefold()


def _is_role(token: str) -> bool:
    return any(_word(token) in words for words in _WORDS.values())


def _spans(name: str) -> list[tuple[int, int]]:
    """Return where the words of a name begin and end."""
    found: list[tuple[int, int]] = []
    for chunk in _CHUNK.finditer(name):
        stop, ends = chunk.end(), list[tuple[int, int]]()
        # "fieldCells" is two words, but "CellId7" is one.
        for capital in reversed([m.start() for m in re.finditer(r"(?<=[a-z0-9])[A-Z]", chunk[0])]):
            start = chunk.start() + capital
            if not _is_role(name[start:stop]):
                break
            ends.append((start, stop))
            stop = start
        found += [(chunk.start(), stop), *reversed(ends)]
    return found


def _key(stem: str, *, role: bool = False, structure: bool = False, once: bool = False) -> str:
    """Return a file's name without the words for images and labels. Everything else stays: it tells names apart.

    With ``role``, the last word for what it shows is left out too; with ``structure``, the names of structures and
    stains, or only the last with ``once``. One separator beside each word goes with it; the numbers after it stay.
    """
    stem = unicodedata.normalize("NFC", stem)
    for start, stop in _words_left_out(stem, role=role, structure=structure, once=once):  # from the last
        before, after = stem[:start], stem[stop:]
        if before[-1:] in _SEPARATORS and (not after or after[0] in _SEPARATORS):
            before = before[:-1]
        elif not before and after[:1] in _SEPARATORS:
            after = after[1:]
        stem = before + after
    return stem


def _words_left_out(
    stem: str, *, role: bool = False, structure: bool = False, once: bool = False
) -> list[tuple[int, int]]:
    """Return where the words are that :func:`_key` leaves out, from the last to the first."""
    left_out: list[tuple[int, int]] = []
    for start, stop in reversed(_spans(stem)):
        token = stem[start:stop]
        word = _word(token)
        decides = any(word in _WORDS[r] for r in (CELLS, NUCLEI, STRUCTURE))
        describes = word in _WORDS["labels"] or word in _WORDS[IMAGE]
        named = structure and not decides and recognise_channel(token) is not None
        if describes or named or (decides and role):
            left_out.append((start, start + len(word)) if _is_role(token) else (start, stop))
            role = role and not decides
            structure = structure and not (named and once)
    return left_out
