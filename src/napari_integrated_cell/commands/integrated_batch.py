"""``napari-ic integrate`` for all cells of a folder or a table."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

from napari_integrated_cell.commands.options import PROGRAM, naming_options, print_note
from napari_integrated_cell.console import progress_bar
from napari_integrated_cell.processes import CancelToken

if TYPE_CHECKING:
    from napari_integrated_cell.batch.batch_result import BatchResult
    from napari_integrated_cell.batch.cell_row import BatchSettings
    from napari_integrated_cell.batch.field_files import FieldFiles
    from napari_integrated_cell.batch.folder import ChosenChannels
    from napari_integrated_cell.batch.found_fields import FoundFields
    from napari_integrated_cell.batch.listing import ListedField
    from napari_integrated_cell.processes import Progress

_INNER = ("digest", "file_bytes")
_MOST_SHOWN = 8
"""How many files or cells are named on the terminal; the table has all cells."""


@dataclass(frozen=True)
class BatchOptions:
    """The options of the folder way."""

    folder: Path | None
    manifest: Path | None
    patterns: Sequence[str]
    chosen: ChosenChannels
    workers: int
    scheduler: str | None
    dry_run: bool
    as_json: bool


def integrate_all(options: BatchOptions, settings: BatchSettings, out: Path) -> None:
    """Integrate every cell of a folder or a table into the folder ``out``.

    Raises
    ------
    typer.Exit
        With 1 if no cell is integrated, and with 130 after Ctrl-C.
    ValueError, OSError, ImportError
        If nothing can be begun.
    """
    from napari_integrated_cell.batch.journal import Journal
    from napari_integrated_cell.batch.listing import list_fields
    from napari_integrated_cell.batch.out_place import (
        bytes_needed,
        channels_of,
        check_out_folder,
        check_writable,
    )
    from napari_integrated_cell.batch.run import JOURNAL, SEGMENTED, integrate_batch
    from napari_integrated_cell.batch.targets import check_owner
    from napari_integrated_cell.model.bundle import read_manifest
    from napari_integrated_cell.model.inputs import structure_names

    config = read_manifest(settings.model).config
    names = structure_names(settings.structures, config)
    with progress_bar() as move, naming_options():
        found = _found(options, out, move)
        if not options.dry_run:
            searched = [options.folder] if options.folder is not None else []
            check_out_folder(out, [*searched, *map(Path, found.paths)])
        journal = None if options.dry_run else Journal(out / JOURNAL)
        if journal is not None:
            check_owner(out, found, journal)
            if not journal.continued:
                journal.hold()  # a call that is refused leaves nothing
        listed = list_fields(
            found, out / SEGMENTED, journal, lambda done, total: move(done, total, "counting cells")
        )
    cells = _print_listing(found, listed, files=options.dry_run)
    if cells == 0 and not found.faulty and not any(field.reason for field in listed):
        raise ValueError(
            f"There is no cell to integrate in {found.source}: give label images of cells and nuclei, or images with "
            "membrane and DNA; if their files have other names, name them with --pattern 'cells={field}_c.tif'."
        )
    if options.dry_run or journal is None:
        if cells == 0:
            raise typer.Exit(1)
        return
    several = options.workers > 1 or options.scheduler is not None
    n_channels = channels_of(len(names), settings.ensemble)
    check_writable(out, bytes_needed(listed, settings, n_channels, len(found.entries), several=several))
    faulty = [field.files for field in listed if field.reason]
    printed = {item.name for item in found.faulty} | {files.name for files in faulty}
    printed |= {entry.name for files in faulty for entry in files.entries.values()}
    with _stopping() as stop, progress_bar("cell") as move:
        result = integrate_batch(
            found,
            listed,
            settings,
            out,
            journal,
            workers=options.workers,
            scheduler=options.scheduler,
            stop=stop,
            on_row=_print_json if options.as_json else partial(_print_trouble, printed),
            progress=move,
        )
    _print_summary(result)
    if result.stopped:
        raise typer.Exit(130)
    if result.made == 0:
        raise typer.Exit(1)


def _found(options: BatchOptions, out: Path, move: Progress) -> FoundFields:
    from napari_integrated_cell.batch.folder import fields_of_folder
    from napari_integrated_cell.batch.found_fields import fields_of_table
    from napari_integrated_cell.batch.patterns import pattern_of
    from napari_integrated_cell.data.cell_table import open_table

    if options.manifest is not None:
        return fields_of_table(open_table(options.manifest), options.chosen.voxel_size)
    return fields_of_folder(
        options.folder or Path(),
        chosen=options.chosen,
        patterns=[pattern_of(text) for text in options.patterns],
        leave_out=out,
        on_file=lambda done, total: move(done, total, "looking at files"),
    )


def _files_of(field: FieldFiles, source: str) -> str:
    """Return the files of a field with what they show."""
    shown: dict[str, list[str]] = {}
    planes = {**field.images, "cells": field.cells, "nuclei": field.nuclei}
    for what, plane in planes.items():
        if plane is not None:
            shown.setdefault(plane.path, []).append(what)
    root = Path(source)
    names = {path: Path(path).relative_to(root) if root in Path(path).parents else path for path in shown}
    return ", ".join(f"{names[path]} ({', '.join(what)})" for path, what in shown.items())


def _print_listing(found: FoundFields, listed: Sequence[ListedField], *, files: bool) -> int:
    """Print what was found and what is left out, and with ``files`` the files of each field.

    Return the number of cells and of fields to segment.
    """
    cells = sum(len(f.labels or ()) for f in listed) + len(found.entries)
    to_segment = sum(f.labels is None for f in listed)
    fields = f"{len(listed)} field{'s' if len(listed) != 1 else ''}" if listed or not found.entries else ""
    rows = "files of their own" if found.entries else ""
    noun = "cell" if cells == 1 else "cells"
    print_note(f"{found.source}: {cells} {noun} in {' and '.join(filter(None, (fields, rows)))}.")
    if to_segment:
        print_note(
            f"{to_segment} field{'s have' if to_segment > 1 else ' has'} no label images: cells are "
            "segmented from membrane and DNA."
        )
    if files:
        for field in listed:
            print_note(f"{field.files.name}: {_files_of(field.files, found.source)}")
    for what, items in (("cannot be used", found.faulty), ("not used", found.unused)):
        for reason, names in _by_reason([(item.name, item.reason) for item in items]):
            print_note(f"{what}: {names}: {reason}.")
    for reason, names in _by_reason([(f.files.name, f.reason) for f in listed if f.reason]):
        print_note(f"cannot be used: {names}: {reason}")
    return cells + to_segment


def _by_reason(items: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each reason with the names that have it."""
    for reason, count in Counter(reason for _, reason in items).items():
        names = [name for name, why in items if why == reason]
        more = f" and {count - _MOST_SHOWN} more" if count > _MOST_SHOWN else ""
        yield reason.removesuffix("."), ", ".join(names[:_MOST_SHOWN]) + more


def _print_json(row: dict[str, Any]) -> None:
    """Print a row as one line of JSON."""
    from napari_integrated_cell.batch.results_table import escaped

    shown = {name: escaped(value) for name, value in row.items() if name not in _INNER}
    print(json.dumps(shown), flush=True)


def _print_trouble(printed: Collection[str], row: dict[str, Any]) -> None:
    """Print a row that failed, unless its id was printed before."""
    if row["outcome"] != "ok" and row["cell_id"] not in printed:
        tqdm.write(f"{PROGRAM}: {row['cell_id']} failed: {row['reason']}", file=sys.stderr)


def _print_summary(result: BatchResult) -> None:
    """Print how many cells there are, how many failed, and where the table is."""
    made, failed = result.made, len(result.failed)
    cells = "cell" if made == 1 else "cells"
    before = f", {result.kept} of them by an earlier call" if result.kept else ""
    table = " and ".join(str(path) for path in result.tables)
    print_note(f"{made} {cells} integrated{before}; {failed} failed. The table: {table}")
    if result.dropped:
        cells = "cell of an earlier call is" if result.dropped == 1 else "cells of earlier calls are"
        print_note(f"{result.dropped} {cells} not found now and not in the table; files are kept.")
    if result.stopped:
        print_note("stopped after the present cell: the same command goes on with the next one.")


@contextmanager
def _stopping() -> Iterator[CancelToken]:
    """Yield a token that the first Ctrl-C sets. The second one interrupts at once."""
    token = CancelToken()
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        token.cancel()
        signal.signal(signal.SIGINT, before)
        tqdm.write(
            f"{PROGRAM}: stopping after the present cell; press Ctrl-C again to stop at once.",
            file=sys.stderr,
        )

    signal.signal(signal.SIGINT, ask)
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, before)
