"""The one error of data exchange: ``<file>: <what is wrong>: <what to do>``, always one line.

Readers deep inside a document do not know the file's name; ``formats.read`` adds it.
"""

from __future__ import annotations

from typing import Final

_MAX_SHOWN: Final = 60
"""Characters of a stranger's value that an error repeats."""


class ConnectorError(ValueError):
    """A document that cannot be taken in.

    ``code`` is one of TOO_LARGE, NOT_UTF8, BAD_XML, BAD_JSON, BAD_ZIP, BAD_PDF, BAD_EDIFACT, BAD_CSV, HAS_FORMULA,
    HAS_MACROS, UNKNOWN_FORMAT, UNKNOWN_TABLE, AMBIGUOUS, BAD_MAPPING, NOT_SUPPORTED, NO_CONTRACT, MISSING,
    BAD_VALUE, UNKNOWN_TEMPLATE, NO_UPLOADER; ``what`` and ``advice`` are one line each.
    """

    def __init__(self, code: str, what: str, advice: str, file: str = "") -> None:
        self.code = code
        self.what = what
        self.advice = advice
        self.file = file
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = (self.file, self.what, self.advice) if self.file else (self.what, self.advice)
        return " ".join(": ".join(parts).split())

    def in_file(self, name: str) -> ConnectorError:
        """The same error, naming the file it is about; a name already there stays."""
        return self if self.file else ConnectorError(self.code, self.what, self.advice, shown(name, quote=False))


def shown(value: str, *, quote: bool = True) -> str:
    """A stranger's text made safe for one line of a terminal or a log: printable, quoted, cut short."""
    text = "".join(character if character.isprintable() else "?" for character in value)
    if quote and len(text) > _MAX_SHOWN:
        text = text[: _MAX_SHOWN - 1] + "…"
    return f"'{text}'" if quote else text
