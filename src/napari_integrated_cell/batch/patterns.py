"""Patterns of file names, for folders whose files are called otherwise than by what they show."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari_integrated_cell.batch.seen_file import (
    CELLS,
    IMAGE,
    NUCLEI,
    STRUCTURE,
    meaning,
    stain_of,
)

ROLES = (CELLS, NUCLEI, IMAGE, "membrane", "dna", STRUCTURE)
_FIELD = "{field}"


@dataclass(frozen=True)
class FilePattern:
    """What files of one role are called.

    Attributes
    ----------
    role : str
        ``"cells"``, ``"nuclei"``, ``"image"``, ``"membrane"``, ``"dna"`` or ``"structure"``.
    text : str
        A path in the folder, with ``{field}`` for the field's name and ``*`` for anything.
    """

    role: str
    text: str

    def match(self, path: str) -> tuple[str, str] | None:
        """Return the role and the field's name if a path in the folder fits, else None."""
        parts = re.split(r"(\{field\}|\*)", self.text)
        first = parts.index(_FIELD)
        wild = {_FIELD: r"(?P<field>.+)", "*": r"[^/]*"}
        regex = "".join(
            wild.get(p, re.escape(p)) if i == first or p != _FIELD else "(?P=field)"
            for i, p in enumerate(parts)
        )
        found = re.fullmatch(regex, path)
        return (self.role, found["field"]) if found else None


def pattern_of(text: str) -> FilePattern:
    """Return the pattern in a text such as ``cells={field}_c.tif``. Without a role, its words say the role.

    Raises
    ------
    ValueError
        If it has no ``{field}``, or the role is not known.
    """
    role, separator, pattern = text.partition("=")
    if not separator:
        role, pattern = "", text
    if _FIELD not in pattern:
        raise ValueError(f"The pattern {text!r} has no {{field}}: write, for example, {{field}}_cells.tif.")
    if not role:
        name = pattern.rsplit("/", 1)[-1].split(".")[0].replace(_FIELD, " ")
        role = next((r for r in (meaning(name), stain_of(name)) if r in ROLES), "")
    if role not in ROLES:
        raise ValueError(
            f"The pattern {text!r} does not say what its files show: begin it with one of "
            f"{', '.join(f'{r}=' for r in ROLES)}."
        )
    return FilePattern(role, pattern)
