"""The public dataset, or a choice of its cells, fetched into a folder that `prepare` reads."""

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
"""Of more files than these, a sample is asked for its size."""


@dataclass(frozen=True)
class Plan:
    """What a fetch will do.

    Attributes
    ----------
    cells : mapping of str to list of ChosenCell
        By gene.
    sha256 : mapping of str to str
        By file, where the package's list was asked for.
    known : mapping of str to Stored or Unfetched
        What the server says of each file asked for; the problem where it has none.
    files : tuple of str
        All that the cells need.
    bytes_in_all, bytes_here : int
        Extrapolated where only a sample of the files was asked for (``estimated``).
    bytes_free : int
        On the disk of the folder.
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
        """How many cells were chosen."""
        return sum(map(len, self.cells.values()))


@dataclass(frozen=True)
class Fetched:
    """What became of a plan: for each file what proves it, or the problem."""

    plan: Plan
    proofs: Mapping[str, Proof]
    problems: Mapping[str, Unfetched]

    @property
    def complete(self) -> list[ChosenCell]:
        """The cells all of whose files are there."""
        return [c for cells in self.plan.cells.values() for c in cells if self.proofs.keys() >= set(c.files)]

    @property
    def proven_by(self) -> dict[str, int]:
        """How many files each kind of proof holds for."""
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
    """Get the dataset's table, choose cells from it, and find out how much they are.

    Parameters
    ----------
    source : Source
        The public dataset, or a mirror of it.
    out : path-like
        The folder to fetch into. The table goes to ``all_cells.csv`` there, once.
    choice : Choice
        Which cells.
    workers : int
        Requests at a time.
    verify : {"auto", "name", "package"}
        "package" gets the package's own list of sha256 as well.
    progress : callable
        Called with (bytes done, bytes in all, what).

    Raises
    ------
    ValueError
        If the choice names what there is not, or the folder holds another dataset.
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
        raise OSError(f"No table of cells comes from {source.url}: {error}.") from error
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
    plan: Plan,
    *,
    workers: int = 8,
    verify: Verify = "auto",
    progress: Progress = lambda *_: None,
) -> Fetched:
    """Fetch the files of a plan, prove each one, and write the table of the cells that are complete.

    What is there already is proven again and not fetched; half a file is continued. Files come in the folders of
    the dataset, beside ``metadata.csv`` (the chosen rows with all their columns; of this choice, whatever else is
    in the folder) and ``fetch_report.csv`` (one line a file: what proves it, or why it is not there).

    Parameters
    ----------
    plan : Plan
        See :func:`plan_fetch`.
    workers : int
        Files at a time.
    verify : {"auto", "name", "package"}
        "name": a file's sha256 must be the one in its name. "auto": the smallest files show whether the
        dataset's names are of that kind; where they are not, as in the public dataset
        (:mod:`napari_ic_train.data.checksums`), the server's MD5 must hold. "package": the sha256 in the
        package's list must hold.
    progress : callable
        Called with (bytes done, bytes in all, what).

    Raises
    ------
    OSError
        If there is no room, the disk takes no more, or the connection is gone. What is there stays; calling
        again continues.
    """
    needed = plan.bytes_in_all - plan.bytes_here
    if needed > plan.bytes_free:
        raise OSError(
            f"{gigabytes(needed)} are to come and only {gigabytes(plan.bytes_free)} are free in {plan.out}: choose "
            "fewer cells or another disk."
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
        tried = in_threads(workers, source, lambda path: obtain(path, None, _silent), first)
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
    """A number of bytes for people."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _silent(_: int) -> None:
    """Counts nothing."""


def _ask(source: Source, path: str, sha256: str | None) -> Stored:
    if not is_inside(path):
        raise Missing(f"{path} is outside the dataset's folder")
    return source.stat(path, sha256)


def _write_report(fetched: Fetched) -> None:
    """One line a file, the failed ones first."""
    rows = []
    for cells in fetched.plan.cells.values():
        for cell in cells:
            for path in cell.files:
                problem = str(fetched.problems.get(path, ""))
                rows.append((cell.line, cell.cell_id, cell.gene, path, fetched.proofs.get(path, ""), problem))
    rows.sort(key=lambda row: (not row[-1], row[0]))
    aside = fetched.plan.out / f"{REPORT}.part"
    with aside.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(("row", "CellId", "structure_name", "file", "proof", "problem"))
        writer.writerows(rows)
    aside.replace(fetched.plan.out / REPORT)
