"""Read CSV files from spreadsheets: the encoding and the separator are found out."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from napari_integrated_cell.data.rows import Row

SEPARATORS = ",;\t"

_ENCODING_OF_BOM = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 1 << 20
# With the error handler "surrogateescape", a byte that is not valid UTF-8 becomes one of these characters.
_BROKEN = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, read row by row.

    Attributes
    ----------
    separator : str
        Comma, semicolon or tab.
    columns : tuple of str
        Names in the first row, stripped. A column without a name has an empty one.
    """

    path: Path
    encoding: str
    separator: str
    columns: tuple[str, ...]

    def records(self) -> Iterator[list[str]]:
        """Yield all rows that are not empty, the header first.

        Raises
        ------
        ValueError
            If the file cannot be read as a table.
        """
        try:
            with self.path.open(newline="", encoding=self.encoding) as file:
                _skip_separator_line(file)
                yield from filter(None, csv.reader(file, delimiter=self.separator))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(
                f"{self.path.name} cannot be read as a table ({error}): check its double quotes."
            ) from error

    def rows(self) -> Iterator[Row]:
        """Yield all rows below the header, by column name.

        A row with more values than columns keeps the last of them under the name None.
        """
        records = self.records()
        next(records, None)
        for record in records:
            row: dict[str | None, str] = dict(zip(self.columns, record, strict=False))
            if any(value.strip() for value in record[len(self.columns) :]):
                row[None] = self.separator.join(record[len(self.columns) :])
            yield row  # type: ignore[misc]


def open_csv(path: Path) -> CsvFile:
    """Find out the encoding, the separator and the columns of a CSV file.

    Read are UTF-8, UTF-16 (Excel's "Unicode text") and Windows code page 1252 (Excel's "CSV" in Western Europe
    and the Americas). A first line ``sep=;`` gives the separator.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not text, or in another encoding.
    """
    encoding = _encoding_of(path)
    with path.open(newline="", encoding=encoding) as file:
        separator = _skip_separator_line(file)
        if separator is None:
            header = next((line for line in file if line.strip()), "")
            unquoted = re.sub(r'"[^"]*"', "", header)
            separator = max(SEPARATORS, key=unquoted.count)
    header_only = CsvFile(path, encoding, separator, ())
    columns = next(header_only.records(), [])
    return CsvFile(path, encoding, separator, tuple(name.strip() for name in columns))


def _skip_separator_line(file: TextIO) -> str | None:
    """Skip a first line such as ``sep=;`` and return its separator; stay at the start if there is none."""
    found = re.fullmatch(r"\"?sep=(.)\"?", file.readline().rstrip("\r\n"), re.IGNORECASE)
    if found is None:
        file.seek(0)
        return None
    return found[1]


def _encoding_of(path: Path) -> str:
    """Return the encoding of a text file, from a byte order mark or from all of its bytes."""
    with path.open("rb") as file:
        start = file.read(3)
    by_mark = next((name for mark, name in _ENCODING_OF_BOM.items() if start.startswith(mark)), None)
    if by_mark is not None:
        _check(path, by_mark)
        return by_mark
    valid, broken = _bytes_beyond_ascii(path)
    if not broken:
        return "utf-8"
    if valid:  # a code page does not yield valid UTF-8 by chance: this is UTF-8 with damaged bytes
        raise _not_text(path, "some of its bytes are not valid UTF-8")
    _check(path, "cp1252")
    return "cp1252"


def _bytes_beyond_ascii(path: Path) -> tuple[bool, bool]:
    """Return whether a file holds characters beyond ASCII in UTF-8, and bytes that are not valid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    valid = broken = False
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if b"\0" in chunk:
                raise _not_text(path, "it holds zero bytes")
            decoded = decoder.decode(chunk, final=not chunk)
            if not decoded.isascii():
                valid = valid or _NOT_ASCII.search(decoded) is not None
                broken = broken or _BROKEN.search(decoded) is not None
            if not chunk:
                return valid, broken


def _check(path: Path, encoding: str) -> None:
    """Raise a ValueError if a file cannot be decoded."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            while part := file.read(_CHUNK):
                if "\0" in part:
                    raise _not_text(path, "it holds zero characters")
    except UnicodeError as error:
        raise _not_text(path, f"it is not valid {encoding}") from error


def _not_text(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path.name} cannot be read as text ({why}): save it as CSV in UTF-8 (in Excel: 'CSV UTF-8')."
    )
