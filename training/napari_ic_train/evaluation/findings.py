"""The results of an experiment: headline values, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Value = str | int | float | None


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, by the bootstrap over cells."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """A table: sortable in the report, and a CSV file in its folder.

    Attributes
    ----------
    title : str
        Unique within its experiment. The file is named after it.
    rows : list of list
        Each is as long as ``columns``; None where there is no value.
    note : str
        Explains how to read the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Value]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture: inline in the report, and a file in its folder.

    Attributes
    ----------
    title : str
        Unique within its experiment. The file is named after it.
    content : bytes
        SVG or PNG.
    note : str
        Explains how to read the picture.
    """

    title: str
    content: bytes = field(repr=False)
    note: str = ""

    @property
    def kind(self) -> Literal["png", "svg"]:
        """The file format, by the first bytes."""
        return "png" if self.content.startswith(b"\x89PNG") else "svg"


@dataclass(frozen=True)
class Findings:
    """The results of an experiment.

    Attributes
    ----------
    headline : mapping of str to float or Interval
        The most important values by name. The report starts with them.
    notes : str
        What was done, with how many cells, and how to read the results. An empty line separates paragraphs.
    """

    headline: Mapping[str, float | Interval] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: str = ""
