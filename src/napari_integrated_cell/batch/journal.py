"""The journal of a batch: one line of JSON for each finished cell. It survives a process that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]

JOURNAL = "journal.jsonl"
"""The journal's name in the folder of the results."""


class Journal:
    """Records by their kind and name; the last one of a name counts.

    Parameters
    ----------
    path : Path
        A file in an existing folder. It is read, and continued.

    Attributes
    ----------
    continued : bool
        Whether an earlier call left records in it.

    Raises
    ------
    ValueError
        If the file is no journal.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[tuple[str, str], Record] = {}
        self._held: list[str] | None = None
        if path.exists():
            self._read()
        self.continued = bool(self._records)

    def _read(self) -> None:
        try:
            text = self.path.read_bytes().decode("utf-8")
        except OSError as error:
            raise OSError(
                f"The journal {self.path} cannot be read ({error.strerror or error}): allow it to be read, or give the "
                "results another folder with --out."
            ) from error
        except UnicodeDecodeError as error:
            raise _no_journal(self.path) from error
        for line in text.split("\n"):
            if not line.strip("\0 \r"):
                continue  # a disk may leave zeros after a loss of power
            record = _record(line)
            if record is not None:
                kind, name, content = record
                self._records[kind, name] = content
            elif not '["'.startswith(line[:2]):
                raise _no_journal(self.path)
        if text and not text.endswith("\n"):
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def get(self, kind: str, name: str) -> Record | None:
        """Return a record, or None."""
        return self._records.get((kind, name))

    def all(self, kind: str) -> dict[str, Record]:
        """Return all records of a kind, by name."""
        return {name: record for (of, name), record in self._records.items() if of == kind}

    def add(self, kind: str, name: str, record: Mapping[str, Any]) -> None:
        """Write a record. It is on its way to the disk when this returns, even if the process is then killed."""
        self.add_all([(kind, name, record)])

    def add_all(self, records: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Write several records at once."""
        lines = []
        for kind, name, record in records:
            self._records[kind, name] = dict(record)
            lines.append(json.dumps([kind, name, record], allow_nan=False) + "\n")
        if self._held is not None:
            self._held += lines
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))

    def hold(self) -> None:
        """Write nothing before :meth:`release`: a batch that is refused leaves no journal."""
        self._held = self._held or []

    def release(self) -> None:
        """Write what was held back."""
        lines, self._held = self._held, None
        if lines:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))


def holds_results(folder: Path) -> bool:
    """Return whether a folder holds the journal of a batch."""
    try:
        with (folder / JOURNAL).open(encoding="utf-8") as file:
            return _record(file.readline()) is not None
    except (OSError, ValueError):
        return False


def _record(line: str) -> tuple[str, str, Record] | None:
    """Return the record in a line; None if it holds none, or only a part of one."""
    try:
        kind, name, record = json.loads(line)
    except (ValueError, TypeError):  # the end of a line that was being written when the process was killed
        return None
    return (kind, name, record) if isinstance(kind, str) and isinstance(record, dict) else None


def _no_journal(path: Path) -> ValueError:
    return ValueError(
        f"{path} is no journal of this command, or it is damaged: move it away, or give the results another folder "
        "with --out."
    )
