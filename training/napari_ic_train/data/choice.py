"""Choose cells of the public dataset by a random seed: the same cells on every machine."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_ic_train.data.splits import fraction_of
from napari_integrated_cell.data.csv_file import open_csv
from napari_integrated_cell.data.rows import Row, flag, text
from napari_integrated_cell.data.stages import LONE_DAUGHTER, STAGE_CODES
from napari_integrated_cell.vocabulary import STRUCTURES, stage, structure

COLUMNS = ("CellId", "crop_raw", "crop_seg", "structure_name")


@dataclass(frozen=True)
class Choice:
    """A choice of cells of the public dataset.

    Attributes
    ----------
    structures : tuple of str
        Names or genes; ``"all"`` is every gene of the table. Empty: the paper's eleven.
    cells : int
        Number of cells of each structure; fewer if the table has fewer.
    stages : tuple of str
        Stages of the vocabulary or codes of the table (M0, M1M2, ...). The codes are coarser than the vocabulary:
        "metaphase" means M4M5, which holds anaphases too. Empty: all but lone daughters (M6M7_single).
    seed : int
        Random seed of the choice. The cells of ``cells=n`` are among those of ``cells=n + 1``.
    keep_outliers, keep_edge : bool
        Whether to take outliers, and cells at the edge of their colony.
    """

    structures: tuple[str, ...] = ()
    cells: int = 100
    stages: tuple[str, ...] = ()
    seed: int = 0
    keep_outliers: bool = False
    keep_edge: bool = True


@dataclass(frozen=True)
class ChosenCell:
    """One row of the table: its number from 1, the cell's id and gene, and its files."""

    line: int
    cell_id: str
    gene: str
    files: tuple[str, ...]


def stage_codes(wanted: Sequence[str]) -> frozenset[str]:
    """Return the ``cell_stage`` codes of the wanted stages.

    Raises
    ------
    ValueError
        If a word is neither a stage nor a code.
    """
    if not wanted:
        return frozenset(STAGE_CODES) - {LONE_DAUGHTER}
    by_spelling = {code.casefold(): code for code in STAGE_CODES}
    codes = set()
    for word in wanted:
        try:
            codes.add(by_spelling.get(word.casefold()) or stage(word).dataset_code)
        except ValueError as error:
            raise ValueError(f"{error} The dataset's own codes are {', '.join(STAGE_CODES)}.") from None
    return frozenset(codes)


def genes(wanted: Sequence[str], available: Iterable[str]) -> tuple[str, ...]:
    """Return the genes of the wanted structures, among those that a table has.

    Raises
    ------
    ValueError
        If a word is neither a structure of the vocabulary nor a gene of the table, or the table lacks the structure.
    """
    there = {gene.casefold(): gene for gene in available}
    if not wanted:
        return tuple(s.gene for s in STRUCTURES if s.gene.casefold() in there)
    found: dict[str, None] = {}
    for word in wanted:
        if word.casefold() == "all":
            found.update(dict.fromkeys(sorted(there.values())))
            continue
        gene = there.get(word.casefold())
        if gene is None:
            try:
                gene = there.get(structure(word).gene.casefold())
            except ValueError:
                known = [*there.values(), *(s.name for s in STRUCTURES if s.gene.casefold() in there)]
                close = difflib.get_close_matches(word, known, n=3) or sorted(there.values())
                raise ValueError(
                    f"No structure is called {word!r}; did you mean {', '.join(close)}?"
                ) from None
        if gene is None:
            raise ValueError(f"The dataset has no {word}; it has {', '.join(sorted(there.values()))}.")
        found[gene] = None
    return tuple(found)


def choose(table: Path, choice: Choice) -> dict[str, list[ChosenCell]]:
    """Return the chosen cells of the public table, by gene.

    Raises
    ------
    ValueError
        If the table is not that of the public dataset, the choice names something that it lacks, or no cell is left.
    """
    codes = stage_codes(choice.stages)
    candidates: dict[str, list[ChosenCell]] = {}
    for line, row in _rows(table):
        cells = candidates.setdefault(text(row, "structure_name"), [])
        if _wanted(row, choice, codes):
            files = tuple(path for column in ("crop_raw", "crop_seg") if (path := text(row, column)))
            cells.append(ChosenCell(line, text(row, "CellId"), text(row, "structure_name"), files))
    chosen = {
        gene: sorted(candidates[gene], key=lambda c: (fraction_of(c.cell_id, choice.seed), c.cell_id))[
            : choice.cells
        ]
        for gene in genes(choice.structures, candidates)
    }
    if not any(chosen.values()):
        raise ValueError("The dataset has no cell of these structures and stages: choose others.")
    return chosen


def _wanted(row: Row, choice: Choice, codes: frozenset[str]) -> bool:
    # The default must not leave out all cells of a table without stages.
    staged = text(row, "cell_stage") in codes or (not choice.stages and not text(row, "cell_stage"))
    return (
        staged
        and bool(text(row, "crop_seg"))
        and (choice.keep_outliers or not flag(row, "outlier"))
        and (choice.keep_edge or not flag(row, "edge_flag"))
    )


def _rows(table: Path) -> Iterator[tuple[int, Row]]:
    """Yield every row with its number, counted from 1."""
    opened = open_csv(table)
    missing = [name for name in COLUMNS if name not in opened.columns]
    if missing:
        raise ValueError(f"{table.name} is not a table of the public dataset: it lacks {', '.join(missing)}.")
    yield from enumerate(opened.rows(), start=1)


def copy_rows(table: Path, out: Path, lines: set[int]) -> None:
    """Write the table's header and the rows of these numbers, with all columns. The file appears when complete."""
    aside = out.with_name(f"{out.name}.part")
    with aside.open("w", newline="", encoding="utf-8") as written:
        writer = csv.writer(written)
        for number, record in enumerate(open_csv(table).records()):
            if number == 0 or number in lines:
                writer.writerow(record)
    aside.replace(out)


def is_inside(path: str) -> bool:
    """Return whether a path of the table stays inside the dataset's folder."""
    parts = PurePosixPath(path.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts and ":" not in str(parts)
