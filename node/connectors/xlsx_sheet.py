"""The XML of sheets and shared texts, streamed: no tree is built, so a sheet of any size takes the memory of a row.

A document type declaration is refused as soon as it begins; expat fetches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Cell, Row
from node.connectors.xlsx_cells import Reader

MAX_COLUMNS: Final = 1_000
MAX_ROWS: Final = 1_048_576
"""As many as a sheet can have (the programs' own limit)."""
MAX_TEXT: Final = 32_767
"""Characters of one cell (the programs' own limit)."""

_CHUNK: Final = 64 * 1024
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


def rows(data: bytes, sheet: str, reader: Reader) -> Iterator[Row]:
    """The rows of a sheet that are stored, from the top. Raises ConnectorError naming sheet and cell."""
    handler = _Sheet(sheet, reader)
    yield from _parsed(data, handler, f"sheet {shown(sheet)}")


def strings(data: bytes) -> list[str]:
    """The shared texts of a workbook; phonetic guides are left out."""
    handler = _Strings()
    for _ in _parsed(data, handler, "the workbook's texts"):
        pass
    return handler.found


class _Handler:
    """What is called for each element; ``ready`` is emptied by whoever feeds the parser."""

    def __init__(self) -> None:
        self.ready: list[Row] = []
        self._text: list[str] = []
        self._length = 0
        self._collecting = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        raise AssertionError(name, attributes)

    def end(self, name: str) -> None:
        raise AssertionError(name)

    def text(self, data: str) -> None:
        if self._collecting:
            self._length += len(data)
            if self._length > MAX_TEXT:
                raise ConnectorError("TOO_LARGE", f"a cell has more than {MAX_TEXT} characters", "shorten it")
            self._text.append(data)

    def _collected(self) -> str:
        found = "".join(self._text)
        self._text.clear()
        self._length = 0
        return found


class _Strings(_Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._phonetic = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - expat gives both
        if name == "rPh":
            self._phonetic += 1
        elif name == "t":
            self._collecting = not self._phonetic

    def end(self, name: str) -> None:
        if name == "rPh":
            self._phonetic -= 1
        elif name == "t":
            self._collecting = False
        elif name == "si":
            self.found.append(self._collected())


class _Sheet(_Handler):
    def __init__(self, sheet: str, reader: Reader) -> None:
        super().__init__()
        self._sheet = sheet
        self._reader = reader
        self._row = 0
        self._column = 0
        self._cells: list[Cell] = []
        self._type = self._style = ""
        self._phonetic = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name == "v" or (name == "t" and not self._phonetic):
            self._collecting = True
        elif name == "row":
            self._begin_row(attributes.get("r", ""))
        elif name == "f":
            raise ConnectorError(
                "HAS_FORMULA",
                f"{self._place()} holds a formula",
                "paste values in its place: what a formula once gave is no evidence",
            )
        elif name == "rPh":
            self._phonetic += 1

    def end(self, name: str) -> None:
        if name in ("v", "t"):
            self._collecting = False
        elif name == "c":
            self._end_cell()
        elif name == "row":
            self.ready.append(Row(self._row, self._cells))
        elif name == "rPh":
            self._phonetic -= 1

    def _begin_row(self, number: str) -> None:
        row = int(number) if number.isdecimal() and len(number) < 8 else self._row + 1
        if not self._row < row <= MAX_ROWS:
            raise ConnectorError(
                "BAD_VALUE", f"sheet {shown(self._sheet)}: row {row} after {self._row}", "save the workbook again"
            )
        self._row = row
        self._column = 0
        self._cells = []

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        self._column += 1
        if match := _REFERENCE.fullmatch(attributes.get("r", "")):
            column = 0
            for letter in match[1]:
                column = column * 26 + ord(letter) - 64
            follows = column >= self._column
            self._column = column
            if not follows:
                raise ConnectorError(
                    "BAD_VALUE", f"{self._place()} stands twice, or too late", "save the workbook again"
                )
        if self._column > MAX_COLUMNS:
            raise ConnectorError("TOO_LARGE", f"{self._place()}: too many columns", f"keep at most {MAX_COLUMNS}")
        self._type = attributes.get("t", "n")
        self._style = attributes.get("s", "")

    def _end_cell(self) -> None:
        try:
            cell = self._reader.cell(self._type, self._style, self._collected())
        except ConnectorError as error:
            raise ConnectorError(error.code, f"{self._place()}: {error.what}", error.advice) from None
        self._cells.extend([""] * (self._column - 1 - len(self._cells)))
        self._cells.append(cell)

    def _place(self) -> str:
        letters, column = "", self._column
        while column:
            column, letter = divmod(column - 1, 26)
            letters = chr(65 + letter) + letters
        return f"sheet {shown(self._sheet)}, cell {letters}{self._row}"


def _parsed(data: bytes, handler: _Handler, what: str) -> Iterator[Row]:
    """Feed the parser piece by piece and give out the rows that are complete."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    if b":row" in data or b":si" in data:  # with a prefix to every name, as few programs write
        parser.StartElementHandler = lambda name, attributes: handler.start(name.rpartition(":")[2], attributes)
        parser.EndElementHandler = lambda name: handler.end(name.rpartition(":")[2])
    else:
        parser.StartElementHandler = handler.start
        parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = _refuse_dtd
    try:
        for start in range(0, len(data), _CHUNK):
            parser.Parse(data[start : start + _CHUNK], False)
            yield from handler.ready
            handler.ready.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ConnectorError("BAD_XML", f"{what} is damaged ({error})", "save the workbook again") from None
    yield from handler.ready


def _refuse_dtd(*_: object) -> None:
    raise ConnectorError("BAD_XML", "it has a document type declaration (DTD)", "save the workbook again")
