"""Where the files of a batch go. No input, and no file that the batch did not write, is ever overwritten."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tifffile

from napari_integrated_cell.batch.cell_row import BatchSettings, Row
from napari_integrated_cell.batch.found_fields import FoundFields
from napari_integrated_cell.batch.journal import JOURNAL, Journal
from napari_integrated_cell.batch.listing import FIELD, ListedField, digest_of
from napari_integrated_cell.batch.results_table import CSV_NAME, PARQUET_NAME

WORKING, SEGMENTED = ".working", "segmented"
CELL, SOURCE, JOINED = "cell", "source", "joined"
"""Kinds of the journal's records: of cells, of the folder or table, of the files of whole fields."""

_ODD = re.compile(r'[<>:"\\|?*\x00-\x1f]')
_CELL_FILE = re.compile(r"cell_-?\d+")
_LONGEST = 220  # bytes of one part of a name; file systems take 255
_PART = re.compile(r"\.[0-9a-f]{8}\.(part|old)\..+|\.canvas-.+")
_OURS = "Structures predicted by napari-integrated-cell"


def safe_name(name: str) -> str:
    """Return a name as a path that stays in the folder of the results. ``/`` still makes folders."""
    parts = [_safe_part(part) for part in _ODD.sub("_", name).split("/") if part not in ("", ".")]
    return "/".join(parts) or "_"


def _safe_part(part: str) -> str:
    if part.startswith("."):  # "..", and names that hide
        part = "_" + part[1:].replace("..", "_").lstrip(".")
    raw = os.fsencode(part)
    if len(raw) <= _LONGEST:
        return part
    return raw[: _LONGEST - 20].decode("utf-8", "ignore") + "~" + digest_of(part)


def file_names(found: FoundFields) -> dict[str, str]:
    """Return the names of the files of each field and of each cell with files of its own, without endings.

    Names that differ only by what a file system does not tell apart get different files.
    """
    taken = {
        _folded(f"{SEGMENTED}/{safe_name(f.name)}_{w}") for f in found.fields for w in ("cells", "nuclei")
    }
    fields = dict[str, str]()
    for field in found.fields:
        fields[field.name] = _free(field.name, taken)
    folders = {_folded(name) for name in fields.values()}
    entries = dict[str, str]()
    for entry in found.entries:
        name = safe_name(entry.name)
        folder, _, last = name.rpartition("/")
        in_field = _folded(folder) in folders and _CELL_FILE.fullmatch(last)
        entries[f"entry {entry.name}"] = _free(entry.name, taken, blocked=bool(in_field))
    return {**{f"field {name}": file for name, file in fields.items()}, **entries}


def _free(name: str, taken: set[str], *, blocked: bool = False) -> str:
    safe = safe_name(name)
    if blocked or _folded(safe) in taken:
        safe = f"{safe}~{digest_of(name)}"
    taken.add(_folded(safe))
    return safe


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def check_owner(out: Path, found: FoundFields, journal: Journal) -> None:
    """Check that what lies in the folder of the results was written for the same folder or table.

    Raises
    ------
    ValueError
        If not. The message names the file, or what the folder holds the results of.
    """
    if not journal.continued:
        for name in (CSV_NAME, PARQUET_NAME, WORKING):
            if os.path.lexists(out / name):
                raise _in_the_way(out / name)
        return
    known = journal.get(SOURCE, SOURCE)
    if known is not None:
        other = "" if known["path"] == source_of(found) else known["path"]
    else:
        other = _other_source([r["source"] for r in journal.all(CELL).values() if r.get("source")], found)
    if other:
        raise ValueError(
            f"{out} holds the results of {other}: give the results of {found.source} another folder with --out."
        )


def source_of(found: FoundFields) -> str:
    """Return the absolute path of the folder or the table."""
    return str(Path(found.source).resolve())


def _other_source(sources: Sequence[str], found: FoundFields) -> str:
    """Return a file that the journal of an earlier version knows and that is of another folder or table; or empty."""
    here = Path(found.source)
    if here.is_dir():
        roots = {Path(os.path.abspath(here)), here.resolve()}
        return next(
            (s for s in sources if not any(r in Path(os.path.abspath(s)).parents for r in roots)
             and here.resolve() not in Path(s).resolve().parents), "",
        )  # fmt: skip
    now = {os.path.abspath(path) for path in found.paths}
    return sources[0] if sources and not any(os.path.abspath(s) in now for s in sources) else ""


def check_targets(
    out: Path,
    found: FoundFields,
    listed: Sequence[ListedField],
    settings: BatchSettings,
    journal: Journal,
    names: dict[str, str],
) -> None:
    """Check that no file that is to be written is an input, or one that no earlier call wrote.

    Raises
    ------
    ValueError
        If one is. The message names the first.
    """
    inputs = set(_identities([*found.paths, found.source]))
    written = _written(out, journal)
    tables = [out / name for name in (CSV_NAME, PARQUET_NAME, JOURNAL)]
    for path in tables:
        _refuse_input(path, inputs)
    for path, field in _targets(out, found, listed, settings, names):
        if not os.path.lexists(path):
            continue
        _refuse_input(path, inputs)
        if path.relative_to(out).as_posix() in written:
            continue
        segmentation = path.parent == out / SEGMENTED or (out / SEGMENTED) in path.parents
        known = journal.continued and (field is None or journal.get(FIELD, field) is not None or segmentation)
        # A call that was killed may have written a file that its journal does not name yet.
        if not (known and (segmentation or written_by_us(path))):
            raise _in_the_way(path)


def _targets(
    out: Path,
    found: FoundFields,
    listed: Sequence[ListedField],
    settings: BatchSettings,
    names: dict[str, str],
) -> Iterator[tuple[Path, str | None]]:
    """Yield the files that are to be written, with the field of each."""
    for field in listed:
        name = field.files.name
        if field.files.cells is None:
            for file in field.files.segmentations(out / SEGMENTED).values():
                yield file, name
        where = out / names[f"field {name}"]
        if settings.write == "field":
            yield where.with_name(f"{where.name}.ome.tiff"), name
        elif settings.write == "cell" and where.is_dir():
            if field.labels is None:
                yield from ((file, name) for file in sorted(where.glob("cell_*.ome.tiff")))
            else:
                yield from ((where / f"cell_{label}.ome.tiff", name) for label in field.labels)
    if settings.write != "none":
        for entry in found.entries:
            yield out / f"{names[f'entry {entry.name}']}.ome.tiff", None


def _written(out: Path, journal: Journal) -> set[str]:
    """Return the files that the journal names, in the folder of the results."""
    found = {f"{record['file']}" for record in journal.all(JOINED).values()}
    for row in journal.all(CELL).values():
        file = row.get("file")
        if not file:
            continue
        parts = Path(file).parts
        if WORKING in parts:  # WORKING/cells/FIELD/cell_3.ome.tiff becomes a part of FIELD.ome.tiff
            found.add("/".join(parts[parts.index(WORKING) + 2 : -1]) + ".ome.tiff")
        inside = out in Path(file).parents
        ends = {"/".join(parts[i:]) for i in range(1, len(parts))}
        found |= {Path(file).relative_to(out).as_posix()} if inside else ends
    return found


def _identities(paths: Iterable[str]) -> Iterator[tuple[int, int]]:
    for path in paths:
        try:
            stat = Path(path).stat()
        except (OSError, ValueError):
            continue
        yield stat.st_dev, stat.st_ino


def _refuse_input(path: Path, inputs: set[tuple[int, int]]) -> None:
    if any(identity in inputs for identity in _identities([str(path)])):
        raise ValueError(
            f"{path} is an input and would be overwritten: give the results another folder with --out."
        )


def _in_the_way(path: Path) -> ValueError:
    return ValueError(
        f"{path} is not of an earlier call of this command: move it away, or give the results another folder with "
        "--out."
    )


def written_by_us(path: Path) -> bool:
    """Return whether a file is a TIFF with structures that this program predicted."""
    if not path.name.lower().endswith((".tif", ".tiff")):
        return False
    try:
        with _opened(path) as tiff:
            return _OURS in (tiff.pages.first.description or "")
    except Exception:  # damaged files raise errors of all types
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF. What its library would log about a damaged one is not shown: it is said where the file is read."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(nothing)
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    finally:
        logger.removeFilter(nothing)


def is_same(recorded: str, file: Path, out: Path) -> bool:
    """Return whether a row names this file, also if the folder of the results was moved."""
    parts = file.relative_to(out).parts
    return Path(recorded).parts[-len(parts) :] == parts


def is_whole(file: Path, nbytes: int | None) -> bool:
    """Return whether a result is there as it was written, of so many bytes. Earlier versions noted no size."""
    try:
        there = file.stat().st_size
        if nbytes is not None or there == 0:
            return there == nbytes
        with _opened(file) as tiff:
            last = tiff.pages[len(tiff.pages) - 1]
            ends = zip(last.dataoffsets, last.databytecounts, strict=True)
            return all(start + count <= there for start, count in ends)
    except Exception:  # damaged files raise errors of all types
        return False


def remove_parts(out: Path, names: dict[str, str]) -> None:
    """Remove files that a killed call had begun, where this batch writes."""
    folders = {out} | {parent for name in names.values() for parent in ((out / name), (out / name).parent)}
    folders |= {path for root in (WORKING, SEGMENTED) for path in (out / root, *(out / root).rglob("*"))}
    for folder in folders:
        if not folder.is_dir() or folder.is_symlink():
            continue
        for path in folder.iterdir():
            if _PART.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def note_size(row: Row) -> None:
    """Add the size of a cell's file to its row."""
    try:
        row["file_bytes"] = Path(row["file"]).stat().st_size
    except (OSError, KeyError, TypeError):
        return
