"""Workbooks (ECMA-376, XLSX) → tables, read as they are stored: no formula is computed and none is believed.

A small reader of its own because a record wants what spreadsheet libraries hide: the stored text of a number instead
of a float, and which cell holds a formula. A cell with a formula is refused: its value is what some program once
computed. So are macros. Sheets are streamed; a hidden one is read only where the mapping names it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from lxml import etree

from node.connectors import strict_xml, xlsx_cells, xlsx_sheet
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Grid, Row
from node.connectors.strict_zip import MAX_UNPACKED, Archive

WORKBOOK: Final = "xl/workbook.xml"
MAX_PART: Final = 8 * 1024 * 1024
"""Bytes of the parts that describe a workbook; sheets and texts may be larger."""

_RELATIONS: Final = "xl/_rels/workbook.xml.rels"
_TYPES: Final = "[Content_Types].xml"
_STRINGS: Final = "xl/sharedStrings.xml"
_STYLES: Final = "xl/styles.xml"
_MACROS: Final = ("vbaproject", "xl/macrosheets/", "xl/intlmacrosheets/", "xl/dialogsheets/", "xl/activex/")
_ADVICE: Final = "save it again as a plain workbook (.xlsx)"


def matches(archive: Archive) -> bool:
    """Whether an archive is a workbook."""
    return WORKBOOK in archive.names


def grids(archive: Archive, sheet: str = "") -> Iterator[Grid]:
    """The visible sheets of a workbook, or the one named. Raises ConnectorError; so do the rows."""
    _refuse_macros(archive)
    workbook = strict_xml.parse(archive.read(WORKBOOK, MAX_PART))
    targets = _targets(archive)
    sheets = [(found.get("name", ""), found) for found in workbook.iterfind("{*}sheets/{*}sheet")]
    hidden = [name for name, found in sheets if found.get("state", "visible") != "visible"]
    if sheet and sheet not in [name for name, _ in sheets]:
        raise ConnectorError(
            "MISSING",
            f"there is no sheet {shown(sheet)}",
            f"name one of {', '.join(shown(name) for name, _ in sheets)}",
        )
    chosen = [(name, found) for name, found in sheets if (name == sheet if sheet else name not in hidden)]
    reader = _reader(archive, workbook)
    for name, found in chosen:
        part = targets.get(_relation(found), "")
        if part.startswith("xl/worksheets/"):
            yield _grid(archive, part, name, reader, _notes(archive, hidden))


def _grid(archive: Archive, part: str, name: str, reader: xlsx_cells.Reader, notes: tuple[str, ...]) -> Grid:
    def rows() -> Iterator[Row]:
        return xlsx_sheet.rows(archive.read(part, MAX_UNPACKED), name, reader)

    return Grid(name, rows, ragged=True, notes=notes)


def _reader(archive: Archive, workbook: etree._Element) -> xlsx_cells.Reader:
    strings = archive.read(_STRINGS, MAX_UNPACKED) if _STRINGS in archive.names else b""
    styles = archive.read(_STYLES, MAX_PART) if _STYLES in archive.names else b""
    properties = workbook.find("{*}workbookPr")
    from_1904 = properties is not None and properties.get("date1904", "0") in ("1", "true")
    return xlsx_cells.Reader(
        xlsx_sheet.strings(strings) if strings else [], xlsx_cells.date_styles(styles), from_1904
    )


def _targets(archive: Archive) -> dict[str, str]:
    """Relationship id to the name of the part in the archive."""
    root = strict_xml.parse(archive.read(_RELATIONS, MAX_PART))
    found = {}
    for relation in root.iterfind("{*}Relationship"):
        target = relation.get("Target", "")
        found[relation.get("Id", "")] = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    return found


def _relation(sheet: etree._Element) -> str:
    return next((str(value) for name, value in sheet.attrib.items() if etree.QName(str(name)).localname == "id"), "")


def _refuse_macros(archive: Archive) -> None:
    types = archive.read(_TYPES, MAX_PART) if _TYPES in archive.names else b""
    if b"macroEnabled" in types or any(mark in name.lower() for name in archive.names for mark in _MACROS):
        raise ConnectorError("HAS_MACROS", "the workbook has macros or controls", _ADVICE)


def _notes(archive: Archive, hidden: list[str]) -> tuple[str, ...]:
    notes = []
    if hidden:
        notes.append(f"the workbook has hidden sheets: {', '.join(map(shown, hidden))}")
    if any(name.startswith("xl/externalLinks/") for name in archive.names):
        notes.append("the workbook refers to other workbooks")
    return tuple(notes)
