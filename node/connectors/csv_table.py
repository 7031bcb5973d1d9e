"""Separated text: UTF-8, UTF-16 with a byte order mark, or GB 18030 where the mapping says so; strict quoting.

Nothing is guessed about the encoding: bytes that do not fit it are refused by the line they are in, so that a file
pasted together from two never gives half of its names garbled. Rows come one at a time.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Final

from node.connectors.errors import ConnectorError
from node.connectors.grid import Grid, Row
from node.connectors.mapping import Csv

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_COLUMNS: Final = 1_000

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NAMES: Final = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "gb18030": "GB 18030"}
_SAMPLE: Final = 4_096
_CHUNK: Final = 1024 * 1024
_RULE: Final = frozenset("-| ")


def looks_like_table(data: bytes) -> bool:
    """Whether the file may be separated text: no zero bytes (but in UTF-16), and a delimiter near its start."""
    head = data[:_SAMPLE].strip()
    for mark, encoding in _MARKS[1:]:
        if data.startswith(mark):
            head = data[len(mark) : _SAMPLE].decode(encoding, "ignore").strip().encode()
    return b"\0" not in head and any(delimiter.encode() in head for delimiter in DELIMITERS)


def grids(data: bytes, options: Csv) -> Iterator[Grid]:
    """The table, once for each delimiter that the options leave open."""
    encoding = "utf-8" if _is_utf8(data) else options.encoding
    for delimiter in (options.delimiter,) if options.delimiter else DELIMITERS:
        yield _grid(data, delimiter, encoding)


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _grid(data: bytes, delimiter: str, encoding: str) -> Grid:
    return Grid("", lambda: _rows(data, delimiter, encoding))


def _rows(data: bytes, delimiter: str, encoding: str) -> Iterator[Row]:
    reader = csv.reader(_lines(data, encoding), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConnectorError(
                "BAD_CSV", f"line {reader.line_num}: {error}", "export the table again, with its quotes closed"
            ) from None
        if len(cells) > MAX_COLUMNS:
            raise ConnectorError(
                "TOO_LARGE", f"line {reader.line_num} has {len(cells)} cells", "export fewer columns"
            )
        if delimiter == "|" and len(cells) <= 2 and _RULE.issuperset("".join(cells)):
            continue  # the line drawn between header and rows of a SAP list
        yield Row(reader.line_num, cells)


def _lines(data: bytes, encoding: str) -> Iterator[str]:
    """The lines of the text, each with its end. Raises ConnectorError NOT_UTF8, naming the line."""
    start = 0
    for mark, marked in _MARKS:
        if data.startswith(mark):
            start, encoding = len(mark), marked
            break
    if encoding.startswith("utf-16"):
        yield from _wide_lines(data[start:], encoding)
        return
    stream = io.BytesIO(data)
    stream.seek(start)
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            raise _undecodable(number, encoding, error.start) from None


def _wide_lines(data: bytes, encoding: str) -> Iterator[str]:
    number = 0
    try:
        for line in io.TextIOWrapper(io.BytesIO(data), encoding, "strict", newline=""):
            number += 1
            yield line
    except UnicodeDecodeError as error:
        raise _undecodable(number + 1, encoding, error.start) from None


def _undecodable(line: int, encoding: str, byte: int) -> ConnectorError:
    return ConnectorError(
        "NOT_UTF8",
        f"line {line} is not {_NAMES[encoding]} (its byte {byte + 1})",
        "save the whole file as UTF-8, or name its encoding in the mapping",
    )
