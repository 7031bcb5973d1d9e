"""Filling in a form: a form is data, its blocks name values by path, and nothing in it is run.

A form is a JSON map {"title": WORDS, "blocks": [BLOCK …]}; WORDS is text, or a map from language to text. A BLOCK is
a map with one of these, and optionally `when`: PATH or "!PATH" (left out where the value is empty or false), and
`each`: PATH (once for each of a list, which `{item.…}` names, counted by `{number}`):

    heading: WORDS                              subheading: WORDS
    fields: [{label: WORDS, text: WORDS}]       the two columns of an official form
    paragraphs: [{text: WORDS, style}]          numbered: true counts them
    table: {columns: [{label, width, align, text, style}], each: PATH}
    signature: [{label: WORDS, text: WORDS}]    note: WORDS
    blocks: [BLOCK …]                           a group, to repeat or leave out together

Fields, paragraphs and rows of a signature take `when` and `each` too. In WORDS, `{path.to.value}` stands for a
value; a field that comes out empty says the language's word for none, or stays blank to be filled in by hand where
it says `empty: "blank"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tallystick.litigation.facts import LitigationError

_PLACE: Final = re.compile(r"\{([a-z_0-9.]+)\}")
MAX_TEXT: Final = 20_000


def fill(form: Mapping[str, Any], values: Mapping[str, Any], language: str, none: str) -> dict[str, Any]:
    """The form in one language with its values: {"title": text, "blocks": [block]} for a layout.

    none: what an empty field says. Raises LitigationError FORM_WRONG (a block or words the form's language cannot
    give) or FORM_VALUE_UNKNOWN (a path that names nothing).
    """
    filler = _Filler(language, none)
    return {
        "title": filler.words(form["title"], values),
        "blocks": [block for part in form["blocks"] for block in filler.block(part, values)],
    }


def look_up(values: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path. Raises LitigationError FORM_VALUE_UNKNOWN."""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise LitigationError("FORM_VALUE_UNKNOWN", f"the form asks for {path}, which is no value of a case")
        found = found[name]
    return found


class _Filler:
    def __init__(self, language: str, none: str) -> None:
        self.language = language
        self.none = none

    def words(self, words: Any, values: Mapping[str, Any]) -> str:
        if isinstance(words, Mapping):
            if self.language not in words:
                raise LitigationError("FORM_WRONG", f"the form has no {self.language} words beside {sorted(words)}")
            words = words[self.language]
        if not isinstance(words, str):
            raise LitigationError("FORM_WRONG", f"words of a form are text, not {type(words).__name__}")
        return _PLACE.sub(lambda match: _text(look_up(values, match[1]), match[1]), words)[:MAX_TEXT]

    def block(self, part: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for scope in self._scopes(part, values):
            yield from self._block(part, scope)

    def _block(self, part: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if "blocks" in part:
            for inner in part["blocks"]:
                yield from self.block(inner, values)
        elif "heading" in part or "subheading" in part or "note" in part:
            kind = next(kind for kind in ("heading", "subheading", "note") if kind in part)
            yield {"kind": kind, "text": self.words(part[kind], values)}
        elif "fields" in part or "signature" in part:
            kind = "fields" if "fields" in part else "signature"
            rows = [self._row(row, scope, kind) for row, scope in self._rows(part[kind], values)]
            if rows:
                yield {"kind": kind, "rows": rows}
        elif "paragraphs" in part:
            rows = [
                {"text": self.words(row["text"], scope), "style": row.get("style", "")}
                for row, scope in self._rows(part["paragraphs"], values)
            ]
            if rows:
                yield {"kind": "paragraphs", "rows": rows, "numbered": bool(part.get("numbered", False))}
        elif "table" in part:
            yield from self._table(part["table"], values)
        else:
            raise LitigationError("FORM_WRONG", f"a block with {', '.join(sorted(part))} is of no known kind")

    def _row(self, row: Mapping[str, Any], values: Mapping[str, Any], kind: str) -> dict[str, str]:
        text = self.words(row.get("text", ""), values)
        return {
            "label": self.words(row["label"], values),
            "text": text or (self.none if kind == "fields" and row.get("empty") != "blank" else ""),
            "style": row.get("style", ""),
        }

    def _table(self, table: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        columns = [
            {
                "label": self.words(column["label"], values),
                "width": column.get("width", "1fr"),
                "align": column.get("align", "left"),
                "style": column.get("style", ""),
            }
            for column in table["columns"]
        ]
        rows = [
            [self.words(column["text"], scope) for column in table["columns"]]
            for scope in self._scopes({"each": table["each"]}, values)
        ]
        if rows:
            total = [self.words(words, values) for words in table.get("total", [])]
            yield {"kind": "table", "columns": columns, "rows": rows, "total": total}

    def _rows(
        self, rows: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
    ) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        for row in rows:
            for scope in self._scopes(row, values):
                yield row, scope

    def _scopes(self, part: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The values for each time that a part stands: none, one, or one for each item of a list."""
        if "each" not in part:
            if self._wanted(part, values):
                yield values
            return
        items = look_up(values, part["each"])
        if not isinstance(items, list):
            raise LitigationError("FORM_WRONG", f"the form repeats {part['each']}, which is no list")
        for number, item in enumerate(items, start=1):
            scope = {**values, "item": item, "number": str(number)}
            if self._wanted(part, scope):
                yield scope

    @staticmethod
    def _wanted(part: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        path: str | None = part.get("when")
        if path is None:
            return True
        negated = path.startswith("!")
        return bool(look_up(values, path.removeprefix("!"))) != negated


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise LitigationError("FORM_WRONG", f"the form writes {path}, which is {type(value).__name__}, not text")
    return value
