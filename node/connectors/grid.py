"""A table as the readers of CSV and XLSX give it: rows of cells, numbered as people see them, as often as asked.

A cell is text. Where a workbook says that a cell is a number or a date, it is a NumberCell or a DateCell: text too,
in one form whatever the country.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class NumberCell(str):
    """A decimal number: "1234.5"; digits and a point, whatever the country."""

    __slots__ = ()


class DateCell(str):
    """A day, "2026-11-16", or a local time, "2026-11-16 09:30:00"."""

    __slots__ = ()


Cell: TypeAlias = str


class Row(NamedTuple):
    """number: of the line in a text file, of the row in a sheet; from 1."""

    number: int
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Grid:
    """One table of a file. sheet: its name in a workbook, "" otherwise; rows: from the top, at every call.

    ragged: whether rows leave empty cells at their end away. notes: what is worth knowing about the file.
    """

    sheet: str
    rows: Callable[[], Iterator[Row]]
    ragged: bool = False
    notes: tuple[str, ...] = ()
