"""Colours of the cells on the map, by a column of their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import ensure_colormap

from napari_integrated_cell.arrays import Doubles, Rgb
from napari_integrated_cell.latent.population import CELL_ID, MEASURES, ROW
from napari_integrated_cell.vocabulary import STAGE_NAMES, STAGES, STRUCTURE_NAMES, STRUCTURES

if TYPE_CHECKING:
    import pandas as pd


COLORMAP = "viridis"
UNKNOWN: tuple[int, int, int] = (128, 128, 128)
"""Colour of a cell without a value."""

_MOST_CLASSES = 24
_INTERPHASE = (125, 143, 163)
# Interphase is grey, because most cells are in it. From prophase on, the colours follow the rainbow.
_MITOSIS = ("#7b6cf6", "#3fa7ff", "#25d0b1", "#7fdc4a", "#f4d03f", "#ff914d", "#ff4d6d")
_OTHERS = (
    *("#4c9bff", "#ff8c42", "#5fd068", "#ff5a5f", "#b48cff", "#c79a6b", "#ff7ac8", "#a8b545"),
    *("#36cfc9", "#f2e14c", "#8fa3c8", "#d0587e"),
)


@dataclass(frozen=True, eq=False)
class Class:
    """One value of a column of classes."""

    value: object
    label: str
    colour: tuple[int, int, int]
    n: int


@dataclass(frozen=True, eq=False)
class Colouring:
    """The colours of cells.

    Attributes
    ----------
    colours : array of uint8, (N, 3)
        Colour of each cell.
    classes : tuple of Class
        The classes, if the column holds classes, in the order of the legend.
    span : tuple of float or None
        Values at both ends of the colormap, if the column holds numbers.
    title : str
        The column, with its unit.
    """

    colours: Rgb
    classes: tuple[Class, ...] = ()
    span: tuple[float, float] | None = None
    title: str = ""


def colourable(table: pd.DataFrame) -> list[str]:
    """Return the columns that can colour cells: stage and structure, then measured shape, then the others."""
    first = [name for name in ("stage", "structure", *MEASURES) if name in table]
    others = [str(name) for name in table if name not in (*first, CELL_ID, ROW)]
    return [name for name in (*first, *others) if _is_informative(table[name])]


def title_of(column: str) -> str:
    """Return the title of a column."""
    if column in MEASURES:
        measure = MEASURES[column]
        return f"{measure.label} ({measure.unit})" if measure.unit else measure.label
    return column.replace("_", " ").capitalize()


def coloured(table: pd.DataFrame, column: str | None) -> Colouring:
    """Colour the cells by a column; all cells alike if there is no such column."""
    if column is None or column not in table:
        return Colouring(np.full((len(table), 3), _INTERPHASE, np.uint8))
    values = table[column]
    return _by_number(values, column) if _is_numeric(values) else _by_class(values, column)


def gradient(n: int) -> Rgb:
    """Return the colormap in ``n`` steps, (n, 3)."""
    return _mapped(np.linspace(0, 1, n))


def stage_colour(stage: str) -> tuple[int, int, int]:
    """Return the colour of a stage; :data:`UNKNOWN` if the vocabulary does not have it."""
    if stage not in STAGE_NAMES:
        return UNKNOWN
    index = STAGE_NAMES.index(stage)
    return _rgb(_MITOSIS[(index - 1) % len(_MITOSIS)]) if index else _INTERPHASE


def _is_informative(values: pd.Series) -> bool:
    """Return whether a column has more than one value, and words that several cells share."""
    n = values.nunique()
    return n > 1 and (_is_numeric(values) or n <= max(_MOST_CLASSES, len(values) // 4))


def _is_numeric(values: pd.Series) -> bool:
    return values.dtype.kind in "iuf"


def _by_number(values: pd.Series, column: str) -> Colouring:
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(numbers)
    # One extreme cell must not take the contrast from all others.
    low, high = np.percentile(numbers[known], (1, 99)) if known.any() else (0.0, 1.0)
    if not high > low:
        low, high = (float(numbers[known].min()), float(numbers[known].max())) if known.any() else (0.0, 1.0)
    share = np.clip((numbers - low) / max(high - low, 1e-30), 0, 1)
    colours = _mapped(np.where(known, share, 0))
    colours[~known] = UNKNOWN
    return Colouring(colours, span=(float(low), float(high)), title=title_of(column))


def _by_class(values: pd.Series, column: str) -> Colouring:
    codes, found = values.factorize()
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    order = sorted(range(len(found)), key=lambda i: (_rank(str(found[i])), -counts[i]))
    palette = np.full((len(found) + 1, 3), UNKNOWN, np.uint8)
    labels = {entry.name: entry.label for entry in STAGES} | {entry.name: entry.label for entry in STRUCTURES}
    classes, next_other = [], 0
    for i in order:
        word = str(found[i])
        colour = _known_colour(word)
        if colour is None:
            colour, next_other = _rgb(_OTHERS[next_other % len(_OTHERS)]), next_other + 1
        palette[i] = colour
        classes.append(Class(found[i], labels.get(word, word), colour, int(counts[i])))
    missing = int((codes < 0).sum())
    if missing:
        classes.append(Class(None, "unknown", UNKNOWN, missing))
    return Colouring(palette[codes], classes=tuple(classes), title=title_of(column))


def _rank(word: str) -> int:
    """Return the rank of a class: stages and structures in the order of the vocabulary, then all others."""
    for names in (STAGE_NAMES, STRUCTURE_NAMES):
        if word in names:
            return names.index(word)
    return len(STRUCTURE_NAMES)


def _known_colour(word: str) -> tuple[int, int, int] | None:
    if word in STAGE_NAMES:
        return stage_colour(word)
    return next((_rgb(s.colour) for s in STRUCTURES if s.name == word), None)


def _mapped(share: Doubles) -> Rgb:
    return (ensure_colormap(COLORMAP).map(share)[:, :3] * 255).round().astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
