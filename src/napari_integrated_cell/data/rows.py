"""Values in one row of a table of cells: text, numbers, flags, voxel sizes and paths."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import Any

from napari_integrated_cell.cell import checked_voxel_size

Row = Mapping[str, str]

# Most rows of a table repeat the same dictionary. Callers must not change what they get.
_evaluated = lru_cache(256)(ast.literal_eval)
_NOTHING = ("nan", "none", "null", "<na>")
_NO = ("", "0", "0.0", "no", "false")


def text(row: Row, *columns: str) -> str:
    """Return the first value that is not empty, stripped; an empty string if there is none.

    A missing column and a word such as ``nan`` or ``None`` count as empty.
    """
    for column in columns:
        value = (row.get(column) or "").strip()
        if value and value.casefold() not in _NOTHING:
            return value
    return ""


def needed(row: Row, *columns: str) -> str:
    """Return the first value that is not empty.

    Raises
    ------
    ValueError
        If all are empty.
    """
    value = text(row, *columns)
    if not value:
        raise ValueError(f"The column {' or '.join(map(repr, columns))} is empty.")
    return value


def flag(row: Row, column: str) -> bool:
    """Return whether the value means yes: anything but an empty value, 0, no and false."""
    return text(row, column).casefold() not in _NO


def literal(row: Row, column: str, default: Any) -> Any:
    """Return the Python literal in a column; the default if the column is empty.

    Only literals are evaluated.

    Raises
    ------
    ValueError
        If the value is not a literal.
    """
    value = text(row, column)
    if not value:
        return default
    try:
        return _evaluated(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"The column {column!r} holds {_short(value)}, which is not a Python literal: check brackets and quotes."
        ) from None


def whole_number(row: Row, *columns: str, least: int) -> int | None:
    """Return a whole number of at least ``least``; None if the columns are empty. ``3.0`` is read as 3.

    Raises
    ------
    ValueError
        If the value is another one.
    """
    value = text(row, *columns)
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not (number >= least and number.is_integer()):
        column = next(name for name in columns if text(row, name))
        raise ValueError(f"The column {column!r} holds {value!r}: give a whole number from {least} upwards.")
    return int(number)


def voxel_size(row: Row, *columns: str) -> tuple[float, float, float] | None:
    """Return a voxel size (Z, Y, X) in µm; None if the columns are empty. One number is used for all three.

    Raises
    ------
    ValueError
        If the value is not one or three positive numbers.
    """
    column = next((name for name in columns if text(row, name)), None)
    if column is None:
        return None
    try:
        value = literal(row, column, None)
        return checked_voxel_size((value,) * 3 if type(value) in (int, float) else value)
    except ValueError:
        raise ValueError(
            f"The column {column!r} holds {_short(text(row, column))}: give the voxel size (Z, Y, X) in µm, "
            "with decimal points."
        ) from None


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:40]}...")


def path_in(folder: Path, written: str) -> str:
    r"""Return the path of a file named in a table. A relative path starts at the table's folder.

    A path with backslashes, as Windows writes it, also works on other systems.

    Raises
    ------
    ValueError
        If the path names a Windows drive or server, and this is not Windows.
    """
    if os.name != "nt" and ("\\" in written or written[1:2] == ":") and not (folder / written).exists():
        windows = PureWindowsPath(written)
        if windows.drive:
            raise ValueError(
                f"The path {written} lies on a Windows drive: give a path relative to the table's folder."
            )
        written = windows.as_posix()
    return str(folder / written)
