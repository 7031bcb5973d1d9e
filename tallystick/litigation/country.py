"""A country's forms: a folder of data. Another country is another folder beside `forms/cn`, or anywhere.

country.json       languages, fonts, the PDF standard, and which forms belong to which route
FORM.json          one form (template.py)
words.LANG.json    the words of a language: kinds, events, rules, how money is written
layout.typ         how every form looks
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tallystick.litigation.facts import LitigationError

FORMS: Final = Path(__file__).parent / "forms"
ROUTES: Final = ("A", "B")


@dataclass(frozen=True)
class Form:
    """One form: its name is the file name of what comes of it."""

    name: str
    routes: tuple[str, ...]
    content: dict[str, Any]


@dataclass(frozen=True)
class Language:
    """A language of the forms. code, region: as a typesetter wants them; words: words.LANG.json."""

    code: str
    region: str
    words: dict[str, Any]

    def word(self, *path: str) -> str:
        """The words at a path; the last part itself where the language has none for it."""
        return self.word_or(path[-1], *path)

    def word_or(self, otherwise: str, *path: str) -> str:
        """The words at a path, or others where the language has none for it."""
        found: Any = self.words
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, str) else otherwise


@dataclass(frozen=True)
class Country:
    """The forms of one country, read."""

    name: str
    folder: Path
    layout: bytes
    standard: str
    fonts: dict[str, list[str]]
    languages: dict[str, Language]
    forms: tuple[Form, ...]


def load(country: str | Path) -> Country:
    """The forms of a country by name ("cn") or by folder.

    Raises LitigationError COUNTRY_UNKNOWN, or FORM_WRONG naming the file.
    """
    folder = country if isinstance(country, Path) else FORMS / country
    if not isinstance(country, Path) and not country.isalnum():
        raise LitigationError("COUNTRY_UNKNOWN", f"{country!r} is no name of a country's forms")
    if not (folder / "country.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in FORMS.glob("*/country.json")))
        raise LitigationError("COUNTRY_UNKNOWN", f"there are no forms in {folder}; known countries: {known}")
    head = _read(folder / "country.json")
    try:
        languages = {
            str(language): Language(said["lang"], said["region"], _read(folder / f"words.{language}.json"))
            for language, said in head["languages"].items()
        }
        forms = tuple(_form(folder, entry) for entry in head["documents"])
        layout = (folder / head["layout"]).read_bytes()
        return Country(folder.name, folder, layout, head["standard"], head["fonts"], languages, forms)
    except (KeyError, TypeError, AttributeError, OSError) as error:
        raise LitigationError(
            "FORM_WRONG", f"{folder / 'country.json'}: {error!r} is missing or of a wrong kind"
        ) from None


def _form(folder: Path, entry: Mapping[str, Any]) -> Form:
    name = entry["form"]
    if not isinstance(name, str) or not name.replace("-", "").isalnum():
        raise LitigationError("FORM_WRONG", f"{folder / 'country.json'}: {name!r} is no name of a form")
    routes = tuple(entry["routes"])
    if not routes or any(route not in ROUTES for route in routes):
        raise LitigationError("FORM_WRONG", f"{folder / 'country.json'}: routes of {name} are of {', '.join(ROUTES)}")
    content = _read(folder / f"{name}.json")
    if "title" not in content or not isinstance(content.get("blocks"), list):
        raise LitigationError("FORM_WRONG", f"{folder / name}.json needs title and blocks")
    return Form(name, routes, content)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LitigationError("FORM_WRONG", f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise LitigationError("FORM_WRONG", f"{path} holds no map")
    return found
