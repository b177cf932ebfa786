"""One row of a table of cells: the channels that show the cell, their files, and what is known about the cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_integrated_cell.data.stages import LONE_DAUGHTER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.imaging.reading import Image

STRUCTURE = "structure"
"""Name of the structure's channel in a cell that is read from a table."""


@dataclass(frozen=True)
class FileChannel:
    """One channel of a file.

    Attributes
    ----------
    path : str
        The file.
    names : tuple of str or int
        Names or indices of the channel. The first that the file has is used. Empty: the file's only channel.
    optional : bool
        Whether the channel may be missing from the file.
    """

    path: str
    names: tuple[str | int, ...] = ()
    optional: bool = False

    def first_in(self, image: Image) -> NDArray[Any] | None:
        """Return the first of the channels that a file has; None if it has none and the channel is optional."""
        for name in self.names:
            try:
                return image.channel(name)
            except ValueError as error:
                missing = error
        if self.optional:
            return None
        raise missing


@dataclass(frozen=True)
class Entry:
    """One cell of a table, before its files are read.

    Attributes
    ----------
    name : str
        The cell's id, or ``"row 3"`` if the table gives none.
    cell, nucleus : FileChannel
        The segmentations.
    images : mapping of str to FileChannel
        ``"membrane"``, ``"dna"``, ``"structure"`` and further channels, as far as the table names them.
    structure : str
        What the structure channel shows: the vocabulary's name, or the table's word if the vocabulary has none.
    structure_segmentation : FileChannel, optional
        The structure's segmentation. It may stand for the structure's image if there is no image.
    cell_id : str
        As the table gives it; may be empty.
    label : int, optional
        The cell's label in the segmentations. None: they hold this one cell.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm. None: the files' own.
    stage : str
        The vocabulary's stage, or the table's word if the vocabulary has none.
    stage_code : str
        The stage as the table writes it.
    field, plate : str
        Where the cell was imaged.
    outlier, edge, simulated : bool
        What the table says about the cell. ``edge``: at the edge of its colony.
    posed : bool
        The images lie in the model's box already: they are not rotated again.
    """

    name: str
    cell: FileChannel
    nucleus: FileChannel
    images: Mapping[str, FileChannel]
    structure: str = ""
    structure_segmentation: FileChannel | None = None
    cell_id: str = ""
    label: int | None = None
    voxel_size: tuple[float, float, float] | None = None
    stage: str = ""
    stage_code: str = ""
    field: str = ""
    plate: str = ""
    outlier: bool = False
    edge: bool = False
    simulated: bool = False
    posed: bool = False

    @property
    def path(self) -> str:
        """The first file of the cell."""
        return next(iter(self.images.values()), self.cell).path

    @property
    def lone_daughter(self) -> bool:
        """Whether the cell is one daughter of a division, without the other."""
        return self.stage_code.casefold() == LONE_DAUGHTER.casefold()

    @property
    def structure_segmented(self) -> bool:
        """Whether there is a segmentation of the structure and no image of it."""
        return STRUCTURE not in self.images and self.structure_segmentation is not None

    def read(self) -> Cell:
        """Read the cell; see :func:`~napari_integrated_cell.data.entry_cell.read_entry`."""
        from napari_integrated_cell.data.entry_cell import read_entry

        return read_entry(self)


@dataclass(frozen=True)
class FaultyRow:
    """A row that cannot be used, with the reason.

    Attributes
    ----------
    name : str
        The cell's id, or ``"row 3"`` if the table gives none.
    reason : str
        One sentence.
    path : str
        The file to look at.
    """

    name: str
    reason: str
    path: str
    stage: str = ""
    structure: str = ""

    def read(self) -> Cell:
        """Raise a ValueError with the reason."""
        raise ValueError(self.reason)


@dataclass(frozen=True, eq=False)
class LoadedCell:
    """A cell in memory, for functions that take the entries of a table.

    Attributes
    ----------
    cell : Cell
    stage : str
        May be empty.
    structure : str
        What the cell's channel ``"structure"`` shows; may be empty.
    """

    cell: Cell
    stage: str = ""
    structure: str = ""

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.cell.name

    def read(self) -> Cell:
        """Return the cell."""
        return self.cell
