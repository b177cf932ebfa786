"""The journal of a batch: one line of JSON for each finished cell. It survives a process that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """Records by their kind and name; the last one of a name counts.

    Parameters
    ----------
    path : Path
        A file in an existing folder. It is read, and continued.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[tuple[str, str], Record] = {}
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            try:
                kind, name, record = json.loads(line)
            except ValueError:  # the end of a line that was being written when the process was killed
                continue
            self._records[kind, name] = record
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def get(self, kind: str, name: str) -> Record | None:
        """Return a record, or None."""
        return self._records.get((kind, name))

    def add(self, kind: str, name: str, record: Mapping[str, Any]) -> None:
        """Write a record. It is on its way to the disk when this returns, even if the process is then killed."""
        self.add_all([(kind, name, record)])

    def add_all(self, records: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Write several records at once."""
        lines = []
        for kind, name, record in records:
            self._records[kind, name] = dict(record)
            lines.append(json.dumps([kind, name, record], allow_nan=False) + "\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
