"""The documents of a case's route, written into a folder: each form in each language, as PDF/A."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from contracts.record import moment
from tallystick.litigation import country as countries
from tallystick.litigation import papers, template
from tallystick.litigation.facts import CaseFacts
from tallystick.litigation.typeset import typeset
from tallystick.litigation.visible import made_visible
from tallystick.litigation.wording import Wording

FACTS: Final = "facts.json"
"""What the documents were set from, beside them: `as_json`."""


class Written(NamedTuple):
    """A document that was written. form: its name in the country's forms, or "facts"; language: "zh", "en", ""."""

    form: str
    language: str
    path: Path
    sha256: bytes


def write_documents(facts: CaseFacts, folder: Path, country: str | Path = "cn") -> tuple[Written, ...]:
    """Write the documents of the case's route into a folder, as FORM.LANGUAGE.pdf, and facts.json beside them.

    The day of the claim (as_of) is the date of each, so the same facts give the same bytes. country: name of a
    folder of forms, or the folder itself. A file of the same name is replaced. Raises LitigationError.
    """
    made = files_of(facts, country)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in made.items():
        path = folder / name
        path.write_bytes(content)
        form, *language = name.split(".")[:-1]
        written.append(Written(form, "".join(language), path, hashlib.sha256(content).digest()))
    return tuple(written)


def files_of(facts: CaseFacts, country: str | Path = "cn") -> dict[str, bytes]:
    """The documents by file name, and facts.json: what a bundle takes in as its documents. Raises LitigationError."""
    made = {f"{form}.{language}.pdf": content for form, language, content in render(facts, country)}
    return {**made, FACTS: as_json(facts)}


def as_json(facts: CaseFacts) -> bytes:
    """The facts as JSON of one form: names sorted, bytes as hex. Whoever has the chain's entries makes it anew."""
    text = json.dumps(_plain(facts), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair as JSON writes it


def render(facts: CaseFacts, country: str | Path = "cn") -> list[tuple[str, str, bytes]]:
    """The documents of the case's route as (form, language, PDF), nothing written. Raises LitigationError."""
    forms = countries.load(country)
    facts = made_visible(facts)
    timestamp = moment(facts.claim.as_of, facts.zone).first
    made = []
    for code, language in forms.languages.items():
        wording = Wording(facts, language)
        values = papers.values(facts, wording)
        footer = wording.say(
            language.word("footer"),
            case=facts.case.hex()[:16],
            network=facts.network.hex()[:16],
            as_of=wording.day(facts.claim.as_of),
        )
        for form in forms.forms:
            if facts.route not in form.routes:
                continue
            filled = template.fill(form.content, values, code, language.word("none"))
            frame = {"lang": language.code, "region": language.region, "footer": footer}
            content = typeset(forms, {**filled, **frame, "author": facts.creditor.name}, timestamp)
            made.append((form.name, code, content))
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
