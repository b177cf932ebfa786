"""What one row of any manifest comes down to: which planes of which files show one cell, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_integrated_cell.data.rows import Row, literal, needed, text
from napari_integrated_cell.vocabulary import STAGES, structure

__all__ = [
    "LONE_DAUGHTER",
    "Entry",
    "Format",
    "Plane",
    "Row",
    "Unusable",
    "flag",
    "literal",
    "micrometres",
    "needed",
    "stage_of_code",
    "structure_name",
    "text",
    "under",
]

LONE_DAUGHTER = "M6M7_single"
"""The public dataset's code of one daughter of a division, cut out without the other."""


@dataclass(frozen=True)
class Plane:
    """One channel of a file.

    Attributes
    ----------
    path : str
        The file.
    names : tuple of str or int
        Names or indices of the channel; the first that the file has is meant. None: the file's only channel.
    optional : bool
        Whether the cell can do without.
    """

    path: str
    names: tuple[str | int, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Entry:
    """One cell that a manifest offers.

    Attributes
    ----------
    cell_id : str
        Unique in the manifest.
    structure : str
        What the structure channel shows: the vocabulary's name, or another gene as it is written.
    images : mapping of str to Plane
        ``"membrane"``, ``"dna"``, ``"structure"``; references that are not there are rendered from the masks.
    cell, nucleus : Plane
        The segmentations.
    label : int, optional
        The cell's label in them; without it they hold this one cell.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm; the file's own when None.
    stage, stage_code : str, optional
        The vocabulary's stage, and what the manifest says.
    field, plate : str, optional
        Where it was imaged.
    outlier, edge, simulated : bool
        What the manifest says of it; ``edge``: at the edge of its colony.
    posed : bool
        Its files already lie as the box does: they are not turned again.
    structure_segmented : bool
        For want of an image, the structure's segmentation stands for it.
    """

    cell_id: str
    structure: str
    images: Mapping[str, Plane]
    cell: Plane
    nucleus: Plane
    label: int | None = None
    voxel_size: tuple[float, float, float] | None = None
    stage: str | None = None
    stage_code: str | None = None
    field: str | None = None
    plate: str | None = None
    outlier: bool = False
    edge: bool = False
    simulated: bool = False
    posed: bool = False
    structure_segmented: bool = False

    @property
    def path(self) -> str:
        """The file to look at when something is wrong with the cell."""
        return next(iter(self.images.values()), self.cell).path

    @property
    def lone_daughter(self) -> bool:
        """Whether it is one daughter of a division, without the other."""
        return self.stage_code == LONE_DAUGHTER


@dataclass(frozen=True)
class Unusable:
    """A row that says too little, or something wrong: it costs itself, and is reported with the reason."""

    cell_id: str
    reason: str
    path: str = ""


@dataclass(frozen=True)
class Format:
    """One layout of a manifest.

    Attributes
    ----------
    name : str
    columns : tuple of str
        Those by which it is recognised; all are needed.
    entry : callable
        ``entry(row, folder)``; a ValueError says what is wrong with the row.
    cell_id, field, plate : str
        The columns that hold these.
    """

    name: str
    columns: tuple[str, ...]
    entry: Callable[[Row, Path], Entry]
    cell_id: str = "CellId"
    field: str = "FOVId"
    plate: str = "PlateId"


def flag(row: Row, column: str) -> bool:
    """Whether a row's entry says yes: anything but nothing, 0, no and false."""
    return text(row, column).casefold() not in ("", "0", "0.0", "no", "false")


def micrometres(value: Any, column: str) -> tuple[float, float, float]:
    """Three lengths (Z, Y, X); one number stands for all three."""
    lengths = value if isinstance(value, (list, tuple)) else (value,) * 3
    if len(lengths) != 3 or not all(isinstance(v, (int, float)) and v > 0 for v in lengths):
        raise ValueError(f"The column {column!r} holds {value!r}: give (Z, Y, X) in µm.")
    z, y, x = (float(v) for v in lengths)
    return z, y, x


def structure_name(written: str) -> str:
    """The vocabulary's name of a gene or protein, or what was written where it has none."""
    try:
        return structure(written).name
    except ValueError:
        return written


def stage_of_code(code: str) -> str | None:
    """The vocabulary's stage of a public ``cell_stage``; None where there is no code.

    The codes are coarser than the paper's eight stages (section 3.4.5): ``M1M2``, ``M3`` and ``M4M5`` each
    stand for two, of which the first is given.

    Raises
    ------
    ValueError
        For a code that the dataset does not use.
    """
    if not code:
        return None
    wanted = "M6M7_complete" if code == LONE_DAUGHTER else code
    for candidate in STAGES:
        if candidate.dataset_code == wanted:
            return candidate.name
    codes = dict.fromkeys((*(s.dataset_code for s in STAGES), LONE_DAUGHTER))
    raise ValueError(f"There is no cell_stage {code!r}; the dataset's are {', '.join(codes)}.")


def under(folder: Path, written: str) -> str:
    """A manifest's path, relative to its folder unless it is absolute."""
    return str(folder / written)
