"""Fetch cells of the public dataset into a folder that `prepare` reads."""

from __future__ import annotations

import csv
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_ic_train.data.checksums import Proof, Stored, Unfetched
from napari_ic_train.data.choice import Choice, ChosenCell, choose, copy_rows, is_inside
from napari_ic_train.data.package_list import checksums
from napari_ic_train.data.source import Missing, Source, bring, here
from napari_ic_train.data.threads import counting, in_threads
from napari_integrated_cell.processes import Progress

Verify = Literal["auto", "name", "package"]
VERIFY: tuple[Verify, ...] = ("auto", "name", "package")

WHOLE_TABLE = "all_cells.csv"
TABLE = "metadata.csv"
REPORT = "fetch_report.csv"
MOST_ASKED = 5000
"""Largest number of files whose sizes are all requested; of more files, a sample is."""


@dataclass(frozen=True)
class Plan:
    """Cells and files to fetch, and their size.

    Attributes
    ----------
    cells : mapping of str to list of ChosenCell
        By gene.
    sha256 : mapping of str to str
        By file, if the package's list was read.
    known : mapping of str to Stored or Unfetched
        What the server says about each requested file, or the problem.
    files : tuple of str
        All files of the cells.
    bytes_in_all, bytes_here : int
        Extrapolated if the sizes of a sample were requested (``estimated``).
    bytes_free : int
        Free space on the folder's disk.
    """

    source: Source
    out: Path
    cells: Mapping[str, list[ChosenCell]]
    files: tuple[str, ...]
    sha256: Mapping[str, str]
    known: Mapping[str, Stored | Unfetched]
    bytes_in_all: int
    bytes_here: int
    bytes_free: int

    @property
    def estimated(self) -> bool:
        """Whether the bytes are extrapolated."""
        return len(self.known) < len(self.files)

    @property
    def n_cells(self) -> int:
        """Number of chosen cells."""
        return sum(map(len, self.cells.values()))


@dataclass(frozen=True)
class Fetched:
    """Result of a fetch: for each file how it was verified, or the problem."""

    plan: Plan
    proofs: Mapping[str, Proof]
    problems: Mapping[str, Unfetched]

    @property
    def complete(self) -> list[ChosenCell]:
        """The cells whose files are all there."""
        return [c for cells in self.plan.cells.values() for c in cells if self.proofs.keys() >= set(c.files)]

    @property
    def proven_by(self) -> dict[str, int]:
        """Number of files by how they were verified."""
        return dict(Counter(self.proofs.values()))


def plan_fetch(
    source: Source,
    out: str | Path,
    choice: Choice,
    *,
    workers: int = 8,
    verify: Verify = "auto",
    progress: Progress = lambda *_: None,
) -> Plan:
    """Fetch the dataset's table, choose cells from it, and find out the size of their files.

    Parameters
    ----------
    source : Source
        The public dataset, or a mirror of it.
    out : path-like
        The folder to fetch into. The table is fetched once, to ``all_cells.csv``.
    choice : Choice
        The cells to choose.
    workers : int
        Number of requests at the same time.
    verify : {"auto", "name", "package"}
        "package" fetches the package's list of sha256 too.
    progress : callable
        Called with (bytes done, bytes in all, what).

    Raises
    ------
    ValueError
        If the choice names something that the dataset lacks, or the folder holds another dataset.
    OSError
        If the source cannot be reached.
    """
    out = Path(out)
    if (out / TABLE).exists() and not (out / WHOLE_TABLE).exists():
        raise ValueError(f"{out} holds a {TABLE} that was not fetched: choose another folder.")
    if verify not in VERIFY:
        raise ValueError(f"Files cannot be verified by {verify!r}: choose {', '.join(VERIFY)}.")
    try:
        table = source.stat(TABLE)
        bring(
            source, table, out / WHOLE_TABLE, moved=counting(progress, table.size, "the table of all cells")
        )
    except Unfetched as error:
        raise OSError(f"The table of cells could not be fetched from {source.url}: {error}.") from error
    cells = choose(out / WHOLE_TABLE, choice)
    files = tuple(dict.fromkeys(path for chosen in cells.values() for c in chosen for path in c.files))
    sha256: Mapping[str, str] = {}
    if verify == "package":
        sha256 = checksums(source, out, files, lambda n, total: progress(n, total, "the package's list"))
    asked = files if len(files) <= MOST_ASKED else random.Random(0).sample(files, MOST_ASKED // 10)
    known = in_threads(workers, source, lambda path: _ask(source, path, sha256.get(path)), asked)
    sized = [s for s in known.values() if isinstance(s, Stored)]
    share = len(files) / max(len(asked), 1)
    return Plan(
        source,
        out,
        cells,
        files,
        sha256,
        known,
        bytes_in_all=round(share * sum(s.size for s in sized)),
        bytes_here=round(share * sum(here(s, out / s.path) for s in sized)),
        bytes_free=shutil.disk_usage(out).free,
    )


def fetch(
    plan: Plan, *, workers: int = 8, verify: Verify = "auto", progress: Progress = lambda *_: None
) -> Fetched:
    """Fetch and verify the files of a plan, and write the table of the complete cells.

    Files that are there already are verified again and not fetched; parts of files are continued. The folder gets the
    dataset's own folders, ``metadata.csv`` (the rows of this choice, with all columns) and ``fetch_report.csv`` (one
    line per file: how it was verified, or why it is missing).

    Parameters
    ----------
    plan : Plan
        See :func:`plan_fetch`.
    workers : int
        Number of files at the same time.
    verify : {"auto", "name", "package"}
        "name": a file's sha256 must be the one in its name. "auto": the smallest files show whether names are the
        sha256 of the content; if not, as in the public dataset (:mod:`napari_ic_train.data.checksums`), files must
        match the server's MD5. "package": files must match the sha256 in the package's list.
    progress : callable
        Called with (bytes done, bytes in all, what).

    Raises
    ------
    OSError
        If the disk is too small or full, or the connection is lost. The next call continues.
    """
    needed = plan.bytes_in_all - plan.bytes_here
    if needed > plan.bytes_free:
        raise OSError(
            f"{gigabytes(needed)} are to be fetched, but only {gigabytes(plan.bytes_free)} are free in {plan.out}: "
            "choose fewer cells or another disk."
        )
    source, out = plan.source, plan.out

    def obtain(path: str, named: bool | None, moved: Callable[[int], None]) -> Proof:
        known = plan.known.get(path) or _ask(source, path, plan.sha256.get(path))
        if isinstance(known, Unfetched):
            raise known
        return bring(source, known, out / path, named_by_content=named, moved=moved)

    named = True if verify == "name" else None
    if verify == "auto":
        sized = (known for known in plan.known.values() if isinstance(known, Stored))
        first = [s.path for s in sorted(sized, key=lambda s: (s.size, s.path))[:3]]
        tried = in_threads(workers, source, lambda path: obtain(path, None, lambda _: None), first)
        named = "sha256 in the name" in tried.values()
    moved = counting(progress, plan.bytes_in_all, "fetching cells")
    found = in_threads(workers, source, lambda path: obtain(path, named, moved), plan.files)
    fetched = Fetched(
        plan,
        {path: proof for path, proof in found.items() if isinstance(proof, str)},
        {path: problem for path, problem in found.items() if isinstance(problem, Unfetched)},
    )
    _write_report(fetched)
    copy_rows(out / WHOLE_TABLE, out / TABLE, {cell.line for cell in fetched.complete})
    return fetched


def gigabytes(size: int) -> str:
    """Return a number of bytes in TB, GB, MB or kB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _ask(source: Source, path: str, sha256: str | None) -> Stored:
    if not is_inside(path):
        raise Missing(f"{path} is outside the dataset's folder")
    return source.stat(path, sha256)


def _write_report(fetched: Fetched) -> None:
    """Write one line per file, the failed ones first."""
    rows = [
        (c.line, c.cell_id, c.gene, path, fetched.proofs.get(path, ""), str(fetched.problems.get(path, "")))
        for cells in fetched.plan.cells.values()
        for c in cells
        for path in c.files
    ]
    rows.sort(key=lambda row: (not row[-1], row[0]))
    aside = fetched.plan.out / f"{REPORT}.part"
    with aside.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(("row", "CellId", "structure_name", "file", "proof", "problem"))
        writer.writerows(rows)
    aside.replace(fetched.plan.out / REPORT)
