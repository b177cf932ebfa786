"""Find sets of real cells in a folder, and read their cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry import STRUCTURE, FaultyRow
from napari_integrated_cell.imaging.reading import read_crop, read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.vocabulary import structure

TABLE, CELLS, NUCLEI, MASK = "manifest.csv", "cell_labels.ome.tif", "nucleus_labels.ome.tif", "_mask.ome.tif"
EVERY = slice(None)
CROP = "crop_seg_*.ome.tif*"
EXPECTED = ("hipsc_tomm20_field", "hipsc_lamp1_field", "hipsc_30_cells", "wtc11_single_cell", "hela3d")
"""Sets of the table, in this order. Other folders with the same files follow them."""


@dataclass(frozen=True)
class RealCell:
    """A real cell, and what is observed in it.

    Attributes
    ----------
    cell : Cell
        With the observed structure as its channel ``"structure"``, if one is observed.
    structure : str
        Which structure it is, by the vocabulary's name if it has one; empty if none is observed.
    segmented : bool
        Whether it is a segmentation instead of light.
    """

    cell: Cell
    structure: str = ""
    segmented: bool = False


def found_sets(folder: Path) -> dict[str, Path | None]:
    """Return the folder of each set of cells by its name; None for an expected set that is absent."""
    found: dict[str, Path | None] = dict.fromkeys(EXPECTED)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / TABLE).is_file() or (path / CELLS).is_file() or any(path.glob(CROP)):
            found[path.name] = path
    return found


def real_cells(folder: Path, chosen: slice = EVERY) -> Iterator[RealCell | str]:
    """Yield the cells of one set, or why a cell cannot be used, as a sentence.

    Parameters
    ----------
    folder : path
        With ``manifest.csv``, a table of cells; or a field's ``cell_labels``, ``nucleus_labels`` and, for structures
        that are segmented in it, ``NAME_mask``, all ``.ome.tif``; or crops of single segmented cells.
    chosen : slice
        Which cells of the set; all if left out.
    """
    if (folder / TABLE).is_file():
        yield from _of_table(folder / TABLE, chosen)
    elif (folder / CELLS).is_file():
        yield from _of_field(folder, chosen)
    else:
        for path in sorted(folder.glob(CROP))[chosen]:
            yield RealCell(read_crop(path))


def _of_table(table: Path, chosen: slice) -> Iterator[RealCell | str]:
    for entry in list(open_table(table).entries())[chosen]:
        if isinstance(entry, FaultyRow):
            yield str(entry)
            continue
        try:
            yield RealCell(entry.read(), entry.structure)
        except (OSError, ValueError) as error:
            yield f"{entry.name}: {error}"


def _of_field(folder: Path, chosen: slice) -> Iterator[RealCell | str]:
    labels, voxel_size = read_labels(folder / CELLS)
    nuclei, _ = read_labels(folder / NUCLEI)
    if voxel_size is None:
        raise ValueError(f"{folder / CELLS} does not state its voxel size: write it into the file.")
    masks = sorted(folder.glob(f"*{MASK}"))
    observed = {_named(path.name.removesuffix(MASK)): read_labels(path)[0] > 0 for path in masks}
    for value in list(label_values(labels))[chosen]:
        for name, mask in (observed or {"": None}).items():
            channels = {} if mask is None else {STRUCTURE: mask.astype("float32")}
            try:
                cell = cell_from_labels(
                    labels, value, nuclei, channels, voxel_size, margin=3.0, source=str(folder)
                )
            except ValueError as error:
                yield f"cell {value}: {error}"
                break
            yield RealCell(cell, name, segmented=mask is not None)


def _named(word: str) -> str:
    """Return a structure's name in the vocabulary, or the word in capitals if it has none."""
    try:
        return structure(word).name
    except ValueError:
        return word.upper()
