"""What stands in a row of a table of cells, whoever wrote it: the public dataset, the simulator or the user."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, str]


def text(row: Row, column: str) -> str:
    """A row's entry, stripped; empty where the column or the entry is missing, or is the word for nothing."""
    value = (row.get(column) or "").strip()
    return "" if value.casefold() in ("nan", "none", "null", "<na>") else value


def needed(row: Row, column: str) -> str:
    """A row's entry that must not be empty."""
    value = text(row, column)
    if not value:
        raise ValueError(f"The column {column!r} is empty.")
    return value


def literal(row: Row, column: str, default: Any) -> Any:
    """The Python literal written in a row's entry; the default where it is empty.

    Raises
    ------
    ValueError
        If what stands there is no literal. Nothing is ever evaluated but literals.
    """
    value = text(row, column)
    if not value:
        return default
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        shown = value if len(value) <= 40 else f"{value[:40]}..."
        raise ValueError(f"The column {column!r} holds {shown!r}, which is no Python literal.") from None
