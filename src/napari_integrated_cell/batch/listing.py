"""List the cells of every field, without reading their images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.batch.cell_row import reason_of
from napari_integrated_cell.batch.field_files import FieldFiles
from napari_integrated_cell.batch.found_fields import FoundFields
from napari_integrated_cell.batch.journal import Journal
from napari_integrated_cell.batch.seen_file import is_empty
from napari_integrated_cell.data.entry import Entry, FileChannel

FIELD = "field"
"""Kind of the journal's records of fields."""


@dataclass(frozen=True)
class ListedField:
    """A field with the labels of its cells.

    Attributes
    ----------
    digest : str
        Of its files and of how they are read.
    labels : tuple of int, optional
        None if the field is segmented when it is integrated.
    voxels : int
        Voxels of all its cells.
    nbytes : int
        Bytes of its volumes.
    reason : str
        Why it cannot be used; empty if it can.
    """

    files: FieldFiles
    digest: str
    labels: tuple[int, ...] | None = ()
    voxels: int = 0
    nbytes: int = 0
    reason: str = ""


def list_fields(
    found: FoundFields,
    segmented: Path,
    journal: Journal | None = None,
    on_field: Callable[[int, int], None] = lambda done, total: None,
) -> list[ListedField]:
    """Return the fields with the labels of their cells. A field that the journal knows is not read again.

    Parameters
    ----------
    segmented : Path
        Where fields without label images are segmented.
    journal : Journal, optional
        Remembers the labels.
    on_field : callable, optional
        Called with the number of fields listed, and of all.
    """
    listed = []
    for count, files in enumerate(found.fields, start=1):
        listed.append(_listed(files, segmented, journal))
        on_field(count, len(found.fields))
    return listed


def _listed(files: FieldFiles, segmented: Path, journal: Journal | None) -> ListedField:
    planes = [repr(plane) for plane in files.planes]
    inputs = digest_of(stamps(files.paths), planes, files.voxel_size, files.structure, repr(files.reading))
    known = journal.get(FIELD, files.name) if journal is not None else None
    digest = inputs
    if files.cells is None:
        ours = files.segmentations(segmented).values()
        if known is not None and journal is not None and known["inputs"] != inputs:
            for file in ours:  # of an image that has changed
                file.unlink(missing_ok=True)
            known = None
            journal.add(FIELD, files.name, {"inputs": inputs, "digest": ""})
        if not files.is_segmented(segmented):
            return ListedField(files, inputs, None)
        digest = digest_of(inputs, stamps(map(str, ours)))
    if known is not None and known["digest"] == digest:
        labels = tuple(files.entries) or tuple(known["labels"])
        return ListedField(files, digest, labels, known["voxels"], known["nbytes"])
    try:
        volumes = files.volumes(segmented)
        counts = label_counts(volumes.cells)
        no_nucleus = is_empty(volumes.nuclei)
    except Exception as error:  # image readers raise errors of all types
        return ListedField(files, digest, reason=reason_of(error))
    wanted = tuple(files.entries) or tuple(sorted(counts))
    if not counts:
        return ListedField(files, digest, reason=_holds_no_label(files.cells, "cells"))
    if no_nucleus:
        return ListedField(files, digest, reason=_holds_no_label(files.nuclei, "nuclei"))
    field = ListedField(files, digest, wanted, sum(counts.get(n, 0) for n in wanted), volumes.nbytes)
    if journal is not None:
        record = {"inputs": inputs, "digest": digest, "labels": wanted}
        journal.add(FIELD, files.name, {**record, "voxels": field.voxels, "nbytes": field.nbytes})
    return field


def _holds_no_label(plane: FileChannel | None, what: str) -> str:
    where = "The segmentation" if plane is None else Path(plane.path).name
    return f"{where} holds no label of {what}: it is 0 everywhere."


def label_counts(labels: Any) -> dict[int, int]:
    """Return the number of voxels of each label but 0, read plane by plane."""
    found: dict[int, int] = {}
    for z in range(labels.shape[0]):
        plane = np.asarray(labels[z]).ravel()
        if plane.dtype.kind == "u" and plane.max(initial=0) < 1 << 22:
            counts = np.bincount(plane)
            values = np.flatnonzero(counts)
            counts = counts[values]
        else:
            values, counts = np.unique(plane, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value != 0:
                found[value] = found.get(value, 0) + count
    return found


def entry_digest(entry: Entry) -> str:
    """Return the digest of a table's row and of its files."""
    planes = (*entry.images.values(), entry.cell, entry.nucleus)
    return digest_of(stamps(p.path for p in planes), repr(entry))


def stamps(paths: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return the size and the time of change of each file; zeros for a file that is missing."""
    found = []
    for path in dict.fromkeys(paths):
        try:
            stat = Path(path).stat()
            found.append((path, stat.st_size, stat.st_mtime_ns))
        except OSError:
            found.append((path, 0, 0))
    return found


def digest_of(*parts: Any) -> str:
    """Return a short digest of values that JSON has."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
