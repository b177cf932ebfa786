"""Integrate all cells that were found: what is missing only, in several processes, one row for each cell."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_integrated_cell.batch.batch_result import BatchResult, cell_id_of, failed_rows
from napari_integrated_cell.batch.cell_row import (
    OK,
    BatchSettings,
    CellTask,
    OutputError,
    Row,
    failed_row,
    opened_model,
    rows_of,
)
from napari_integrated_cell.batch.field_output import FieldOutput
from napari_integrated_cell.batch.found_fields import FoundFields
from napari_integrated_cell.batch.journal import JOURNAL, Journal
from napari_integrated_cell.batch.listing import ListedField, digest_of, entry_digest, list_fields
from napari_integrated_cell.batch.results_table import write_tables
from napari_integrated_cell.batch.targets import (
    CELL,
    JOINED,
    SEGMENTED,
    SOURCE,
    WORKING,
    check_owner,
    check_targets,
    file_names,
    is_same,
    is_whole,
    note_size,
    remove_parts,
    source_of,
)
from napari_integrated_cell.data.entry import Entry
from napari_integrated_cell.data.field_cells import IN_MEMORY
from napari_integrated_cell.data.spreading import spread
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.processes import CancelToken, Progress

__all__ = ["JOURNAL", "SEGMENTED", "WORKING", "BatchResult", "integrate_batch"]

WHAT = "integrating cells"


def integrate_batch(
    found: FoundFields,
    listed: Sequence[ListedField],
    settings: BatchSettings,
    out: Path,
    journal: Journal,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    stop: CancelToken | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    progress: Progress | None = None,
) -> BatchResult:
    """Integrate every cell, write its file, and write the table of results.

    A cell that cannot be used costs one row with the reason. A row is made again if its files, the model's weights or
    the settings have changed, or if it failed.

    Parameters
    ----------
    listed : sequence of ListedField
        Its fields, listed.
    out : Path
        An existing folder, on a disk that every worker sees.
    journal : Journal
        What was made so far.
    workers : int
        Processes on this machine.
    scheduler : str, optional
        Address of a dask scheduler to use instead.
    stop : CancelToken, optional
        If it is set, no further cell is begun. The table has the cells that are finished.
    on_row : callable, optional
        Called with each new row, in the order in which cells are finished.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    OutputError
        If a result cannot be written. The journal and the table have the cells before.
    ValueError, ImportError
        If the model or the workers cannot be used, or a file that is to be written is an input or is not of an
        earlier call.
    """
    check_owner(out, found, journal)
    check_targets(out.resolve(), found, listed, settings, journal, file_names(found))
    run = _Run(found, listed, settings, out.resolve(), journal, workers > 1 or scheduler is not None, stop)
    run.on_row, run.progress = on_row, progress
    work = partial(rows_of, settings=settings)
    journal.release()
    if journal.get(SOURCE, SOURCE) is None:
        journal.add(SOURCE, SOURCE, {"path": source_of(found)})
    try:
        batches = ([task] for task in run.tasks())
        for batch, trouble in spread(
            batches=batches, work=work, workers=workers, scheduler=scheduler, on_result=run.take
        ):
            if trouble is not None:
                run.take([failed_row(task.known, trouble) for task in batch])
    finally:
        result = run.result()
        result.tables = write_tables(out, result.rows, run.n_ref)
    shutil.rmtree(out / WORKING / "fields", ignore_errors=True)
    if not any((out / WORKING).rglob("*.tiff")):
        shutil.rmtree(out / WORKING, ignore_errors=True)
    return result


class _Run:
    """The state of one call of :func:`integrate_batch`."""

    def __init__(
        self,
        found: FoundFields,
        listed: Sequence[ListedField],
        settings: BatchSettings,
        out: Path,
        journal: Journal,
        several: bool,
        stop: CancelToken | None,
    ) -> None:
        model = opened_model(settings.model, settings.device, settings.exact)
        self.n_ref = model.config.n_ref
        self._model = {"model": model.name, "weights": fingerprint(model)}
        recipe = (self._model["weights"], settings.structures, settings.write, settings.frame)
        # Batches that were made before there were these choices go on.
        later = [
            *([] if settings.dtype == "uint16" else [settings.dtype]),
            *(["exact"] if settings.exact else []),
            *(["ensemble"] if settings.ensemble else []),
        ]
        self._recipe = digest_of(*recipe, *later)
        self._found, self._listed, self._settings = found, list(listed), settings
        self._out, self._journal, self._several, self._stop = out, journal, several, stop
        self._order: dict[str, Row | None] = {}
        self._outputs: dict[str, FieldOutput] = {}
        self._waiting = Counter[str]()
        self._closed = set[str]()
        self._joined = dict[Path, bool]()
        self._kept = 0
        self.on_row: Callable[[Row], None] = lambda row: None
        self.progress: Progress | None = None
        self._done = 0
        self._names = file_names(found)
        if journal.continued:
            remove_parts(out, self._names)
        self._expect()

    def _expect(self) -> None:
        """Note every cell, field and file in order, with the rows that are there already."""
        for faulty in self._found.faulty:
            row = {"cell_id": faulty.name, "source": faulty.path, "field": faulty.name}
            self._order[f"file {faulty.name}"] = failed_row(row, faulty.reason)
        for entry in self._found.entries:
            self._note(entry.name, self._digest(entry_digest(entry)), self._file_of_entry(entry))
        for listed in self._listed:
            if listed.reason:
                self._order |= dict(failed_rows(listed, listed.reason))
            elif listed.labels is None:
                self._order[f"file {listed.files.name}"] = None
            else:
                self._expect_field(listed)

    def _expect_field(self, listed: ListedField) -> None:
        output = FieldOutput(
            self._out, self._out / WORKING, self._names[f"field {listed.files.name}"], self._settings
        )
        self._outputs[listed.files.name] = output
        for label in listed.labels or ():
            self._note(
                cell_id_of(listed, label), self._digest(listed.digest, label), output.file_of(label), output
            )

    def _note(self, cell_id: str, digest: str, file: Path | None, output: FieldOutput | None = None) -> None:
        row = self._journal.get(CELL, cell_id)
        known = row is not None and row["digest"] == digest and row["outcome"] == OK
        if row is not None and known and (file is None or self._is_there(row, file, output)):
            self._order[cell_id] = row if file is None else {**row, "file": str(file)}
            self._kept += 1
            self._done += 1
        else:
            self._order[cell_id] = None

    def _is_there(self, row: Row, file: Path, output: FieldOutput | None) -> bool:
        """Return whether a cell's file, or that of its field, is there as it was written."""
        if not is_same(row.get("file") or "", file, self._out):
            return False
        if is_whole(file, row.get("file_bytes")):
            return True
        return self._settings.write == "field" and output is not None and self._is_joined(output)

    def _is_joined(self, output: FieldOutput) -> bool:
        if output.joined not in self._joined:  # it is the same for every cell of a field
            name = output.joined.relative_to(self._out).as_posix()
            known = self._journal.get(JOINED, name) or {}
            self._joined[output.joined] = is_whole(output.joined, known.get("bytes"))
        return self._joined[output.joined]

    def _digest(self, *parts: object) -> str:
        return digest_of(self._recipe, *parts)

    def _file_of_entry(self, entry: Entry) -> Path | None:
        if self._settings.write == "none":
            return None
        return self._out / f"{self._names[f'entry {entry.name}']}.ome.tiff"

    def _tell_of(self, key: str) -> None:
        """Report a row that is there without any work."""
        row = self._order[key]
        if row is not None:
            self._done += 1
            self.on_row(row)
            self.tell()

    def tell(self) -> None:
        """Tell the progress."""
        if self.progress is not None:
            self.progress(self._done, len(self._order), WHAT)

    def tasks(self) -> Iterator[CellTask]:
        """Yield the cells to integrate. A field is opened when its first cell is asked for."""
        for faulty in self._found.faulty:
            self._tell_of(f"file {faulty.name}")
        for entry in self._found.entries:
            if self._order[entry.name] is not None:
                continue
            if self._stopped:
                return
            yield CellTask(
                entry.name,
                entry.field,
                entry.label,
                entry.path,
                self._digest(entry_digest(entry)),
                str(self._file_of_entry(entry) or ""),
                entry=entry,
                structure=entry.structure,
                stage=entry.stage,
            )
        for listed in self._listed:
            if self._stopped:
                return
            if listed.reason:
                for key, _ in failed_rows(listed, listed.reason):
                    self._tell_of(key)
                continue
            try:
                yield from self._field_tasks(listed)
            except Exception as error:  # image readers raise errors of all types
                if isinstance(error, OutputError):
                    raise
                self._fail(listed, error)

    @property
    def _stopped(self) -> bool:
        return self._stop is not None and self._stop.cancelled

    def _field_tasks(self, listed: ListedField) -> Iterator[CellTask]:
        name = listed.files.name
        if listed.labels is None:
            listed = self._segmented(listed)
        missing = [n for n in listed.labels or () if self._order[cell_id_of(listed, n)] is None]
        output = self._outputs[name]
        if not missing:
            self._closed.add(name)
            self._finish(name)
            return
        kept = self._out / WORKING / "fields" / digest_of(name)
        volumes = listed.files.volumes(self._out / SEGMENTED)
        output.shape, output.voxel_size = volumes.shape, volumes.voxel_size
        try:
            survey, near = volumes.surveyed(kept, in_memory=0 if self._several else IN_MEMORY)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                reason = f"The planes of {name} cannot be kept in {kept} ({error.strerror})."
                raise OutputError(reason) from error
            raise
        self._waiting[name] = len(missing)
        for label in missing:
            if self._stopped:
                return
            cell_id = cell_id_of(listed, label)
            entry = listed.files.entries.get(label)
            task = CellTask(
                cell_id,
                name,
                label,
                listed.files.source,
                self._digest(listed.digest, label),
                str(output.file_of(label) or ""),
                structure=entry.structure if entry else listed.files.structure,
                stage=entry.stage if entry else "",
            )
            try:
                place = survey.place(label, volumes.voxel_size)
            except ValueError as error:
                self.take([failed_row(task.known, error)])
                continue
            yield replace(task, place=place, volumes=near)
        self._closed.add(name)
        self._finish(name)

    def _segmented(self, listed: ListedField) -> ListedField:
        """Segment a field without label images, and note its cells."""
        listed.files.volumes(self._out / SEGMENTED)
        (found,) = list_fields(FoundFields("", (listed.files,)), self._out / SEGMENTED, self._journal)
        if found.reason:
            raise ValueError(found.reason)
        del self._order[f"file {listed.files.name}"]
        self._expect_field(found)
        return found

    def _fail(self, listed: ListedField, error: Exception) -> None:
        """Give a field that cannot be read one row, or one for each row of a table, in place of those of its cells."""
        if not listed.files.entries:
            for cell_id in (cell_id_of(listed, label) for label in listed.labels or ()):
                if self._order.get(cell_id) is None:
                    self._order.pop(cell_id, None)
        for key, row in failed_rows(listed, error):
            if self._order.get(key) is None:
                self._order[key] = row
                self._tell_of(key)

    def take(self, rows: Sequence[Row]) -> None:
        """Write finished rows into the journal."""
        for row in rows:
            row |= self._model
            note_size(row)
            output = self._outputs.get(row["field"])
            self._journal.add(CELL, row["cell_id"], row)
            self._order[row["cell_id"]] = row
            self._done += 1
            self.on_row(row if output is None else output.shown(row))
            self.tell()
            if row["field"] in self._waiting and output is not None:
                self._waiting[row["field"]] -= 1
                self._finish(row["field"])

    def _finish(self, name: str) -> None:
        """Join a field's cells and remove its planes, once all of its cells are finished."""
        if name not in self._closed or self._waiting[name] > 0:
            return
        shutil.rmtree(self._out / WORKING / "fields" / digest_of(name), ignore_errors=True)
        output = self._outputs[name]
        rows = [
            row for row in self._order.values() if row and row.get("field") == name and row["outcome"] == OK
        ]
        if self._settings.write == "field" and rows:
            listed = next(item for item in self._listed if item.files.name == name)
            if output.join(rows, lambda: listed.files.volumes(self._out / SEGMENTED)):
                name = output.joined.relative_to(self._out).as_posix()
                self._journal.add(JOINED, name, {"file": name, "bytes": output.joined.stat().st_size})

    def result(self) -> BatchResult:
        """Return the rows that are there."""
        rows = []
        for row in self._order.values():
            if row is None:
                continue
            output = self._outputs.get(row.get("field", ""))
            rows.append(row if output is None else output.shown(row))
        before = self._journal.all(CELL).items()
        dropped = sum(row["outcome"] == OK and cell_id not in self._order for cell_id, row in before)
        return BatchResult(rows, self._kept, self._stopped, 0 if self._stopped else dropped)
