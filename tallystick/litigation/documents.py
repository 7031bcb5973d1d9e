"""The documents of a case's route, written into a folder: each form in each language, as PDF/A."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from contracts.record import moment
from tallystick.litigation import country as countries
from tallystick.litigation import papers, template
from tallystick.litigation.facts import CaseFacts
from tallystick.litigation.typeset import typeset
from tallystick.litigation.wording import Wording


class Written(NamedTuple):
    """A document that was written. form: its name in the country's forms; language: "zh", "en"."""

    form: str
    language: str
    path: Path
    sha256: bytes


def write_documents(facts: CaseFacts, folder: Path, country: str | Path = "cn") -> tuple[Written, ...]:
    """Write the documents of the case's route into a folder, as FORM.LANGUAGE.pdf; gives what was written.

    The day of the claim (as_of) is the date of each, so the same facts give the same bytes. country: name of a
    folder of forms, or the folder itself. A file of the same name is replaced. Raises LitigationError.
    """
    made = [(name, language, content) for name, language, content in render(facts, country)]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, language, content in made:
        path = folder / f"{name}.{language}.pdf"
        path.write_bytes(content)
        written.append(Written(name, language, path, hashlib.sha256(content).digest()))
    return tuple(written)


def render(facts: CaseFacts, country: str | Path = "cn") -> list[tuple[str, str, bytes]]:
    """The documents of the case's route as (form, language, PDF), nothing written. Raises LitigationError."""
    forms = countries.load(country)
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
