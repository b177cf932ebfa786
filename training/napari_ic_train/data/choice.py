"""Which cells of the public table to fetch: chosen by a seed, the same ones on every machine, more by adding."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_ic_train.data.manifests.entry import LONE_DAUGHTER, Row, flag, text
from napari_ic_train.data.splits import fraction_of
from napari_integrated_cell.vocabulary import STAGES, STRUCTURES, stage, structure

COLUMNS = ("CellId", "crop_raw", "crop_seg", "structure_name")
STAGE_CODES: tuple[str, ...] = tuple(dict.fromkeys((*(s.dataset_code for s in STAGES), LONE_DAUGHTER)))


@dataclass(frozen=True)
class Choice:
    """What somebody wants of the public dataset.

    Attributes
    ----------
    structures : tuple of str
        Names or genes; ``"all"`` is every gene of the table. Empty: the paper's eleven.
    cells : int
        Of each structure; fewer where there are fewer.
    stages : tuple of str
        Stages of the vocabulary or codes of the table (M0, M1M2, ...). The table is coarser than the vocabulary:
        "metaphase" brings M4M5, which holds anaphases too. Empty: all but lone daughters (M6M7_single).
    seed : int
        Decides which cells; those of ``cells=n`` are among those of ``cells=n + 1``.
    keep_outliers, keep_edge : bool
        Whether to take cells that the table calls outliers, and cells at the edge of their colony.
    """

    structures: tuple[str, ...] = ()
    cells: int = 100
    stages: tuple[str, ...] = ()
    seed: int = 0
    keep_outliers: bool = False
    keep_edge: bool = True


@dataclass(frozen=True)
class ChosenCell:
    """One row of the table: its line in the file, the cell, and the files that show it."""

    line: int
    cell_id: str
    gene: str
    files: tuple[str, ...]


def stage_codes(wanted: Sequence[str]) -> frozenset[str]:
    """The table's ``cell_stage`` codes that hold the stages wanted.

    Raises
    ------
    ValueError
        For a word that is neither a stage nor a code.
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
    """The genes that the words wanted stand for, among those that a table has.

    Raises
    ------
    ValueError
        For a word that is neither a structure of the vocabulary nor a gene of the table, or a structure that
        the table lacks.
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
    """The cells chosen from the public table, by gene.

    Raises
    ------
    ValueError
        If the table is no public table, or the choice names what it does not have, or leaves nothing.
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
        raise ValueError("No cell of the dataset is left by this choice of structures and stages.")
    return chosen


def _wanted(row: Row, choice: Choice, codes: frozenset[str]) -> bool:
    # A table without stages (one's own, in this layout) is not emptied by the default.
    staged = text(row, "cell_stage") in codes or (not choice.stages and not text(row, "cell_stage"))
    return (
        staged
        and bool(text(row, "crop_seg"))
        and (choice.keep_outliers or not flag(row, "outlier"))
        and (choice.keep_edge or not flag(row, "edge_flag"))
    )


def _rows(table: Path) -> Iterator[tuple[int, Row]]:
    """Every row with its number, counted from 1."""
    with table.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{table.name} is no table of the public dataset: it lacks {', '.join(missing)}."
            )
        try:
            yield from enumerate(reader, start=1)
        except csv.Error as error:
            raise ValueError(f"{table} cannot be read as a table: {error}.") from error


def copy_rows(table: Path, out: Path, lines: set[int]) -> None:
    """Write the table's header and the rows of those numbers, all columns as they are; aside, then renamed."""
    aside = out.with_name(f"{out.name}.part")
    with (
        table.open(newline="", encoding="utf-8") as opened,
        aside.open("w", newline="", encoding="utf-8") as written,
    ):
        writer = csv.writer(written)
        # A line that is empty is no row, here as in _rows.
        for number, row in enumerate(row for row in csv.reader(opened) if row):
            if number == 0 or number in lines:
                writer.writerow(row)
    aside.replace(out)


def is_inside(path: str) -> bool:
    """Whether a table's path stays in the dataset's folder: a table is not trusted to say where to write."""
    parts = PurePosixPath(path.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts and ":" not in str(parts)
