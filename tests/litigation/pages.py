"""Looking at a PDF as its reader does: pages drawn by PDFium, text as it is copied, glyphs as the file names them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
from pypdf import PdfReader
from pypdf.generic import ContentStream

ARTEFACTS = Path(os.environ.get("TALLY_ARTEFACTS", Path(__file__).parents[2] / "build/artefacts")) / "litigation"
"""Where the drawn pages are left, to be looked at."""
SCALE = 1.3  # 1 is 72 dots an inch


def draw(pdf: bytes) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The pages, height x width x 3."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [np.ascontiguousarray(page.render(scale=SCALE).to_numpy()[:, :, 2::-1]) for page in document]
    finally:
        document.close()


def png(page: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """A drawn page as a PNG file."""
    height, width, _ = page.shape
    rows = b"".join(b"\0" + row.tobytes() for row in page)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    made = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def text_of(pdf: bytes) -> str:
    """The text as a reader copies it, blanks and line ends left out."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "".join("".join(page.get_textpage().get_text_bounded().split()) for page in document)
    finally:
        document.close()


def missing_glyphs(pdf: bytes) -> int:
    """How often glyph 0, .notdef, is shown."""
    return sum(glyph == 0 for glyph in glyphs(pdf))


def glyphs(pdf: bytes) -> Iterator[int]:
    """Every glyph that is shown, by its number in its font: two bytes each, as composite fonts have them."""
    reader = PdfReader(io.BytesIO(pdf))
    for page in reader.pages:
        for operands, operator in ContentStream(page.get_contents(), reader).operations:
            if operator not in (b"Tj", b"TJ"):
                continue
            shown = operands[0] if operator == b"TJ" else operands
            for part in shown:
                if isinstance(part, bytes | str):
                    data = part if isinstance(part, bytes) else part.original_bytes  # type: ignore[attr-defined] # pypdf's TextStringObject
                    yield from (number for (number,) in struct.iter_unpack(">H", data))
