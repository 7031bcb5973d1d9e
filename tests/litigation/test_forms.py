"""Forms are data: whole in every language, checked when read, and another country's are a folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import claims
from tallystick.litigation import LitigationError, files_of, papers
from tallystick.litigation.chronology import EVENTS
from tallystick.litigation.country import FORMS, load
from tallystick.litigation.template import fill
from tallystick.litigation.wording import Wording
from tests.litigation import pages, sample_case

COUNTRIES = sorted(path.parent.name for path in FORMS.glob("*/country.json"))


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_language_has_the_same_words(country: str) -> None:
    languages = load(country).languages
    may_differ = {"currencies", "units", "money", "reasons"}  # what a language leaves out is said as it stands
    trees = {
        code: _places({name: words for name, words in language.words.items() if name not in may_differ})
        for code, language in languages.items()
    }
    first, *others = trees.values()
    assert all(other == first for other in others)


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_event_of_a_chronology_has_words(country: str) -> None:
    for language in load(country).languages.values():
        assert language.words["events"].keys() == EVENTS


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_text_of_a_form_is_in_every_language(country: str) -> None:
    forms = load(country)
    for form in forms.forms:
        for words in _words(form.content):
            assert words.keys() == forms.languages.keys(), (form.name, words)
            assert all(isinstance(text, str) for text in words.values())


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("route", ["A", "B"])
def test_every_form_can_be_filled_in(country: str, route: str) -> None:
    """Each value that a form names is there, in each language, and no place is left in what comes out."""
    facts = sample_case.facts(route)
    forms = load(country)
    for code, language in forms.languages.items():
        values = papers.values(facts, Wording(facts, language))
        for form in forms.forms:
            filled = json.dumps(fill(form.content, values, code, "-"), ensure_ascii=False)
            assert re.search(r"\{[a-z_.]+\}", filled) is None, form.name


def test_a_sum_set_off_has_no_days() -> None:
    """Interest paid ahead and not earned lowers a charge: a line below nothing, without a period."""
    facts = sample_case.facts("A")
    charge = next(line for line in facts.claim.lines if line.rule == claims.PENALTY)
    off = charge._replace(first="", last="", base=700, rate_bp=0, days=0, amount=-700)
    claim = facts.claim._replace(lines=(*facts.claim.lines, off))
    for language in load("cn").languages.values():
        row = papers.values(replace(facts, claim=claim), Wording(facts, language))["lines"]["penalty"]["rows"][-1]
        assert (row["period"], row["amount"]) == ("—", "-7.00")
        assert "7.00" in row["formula"]
        assert "×" not in row["formula"]


def test_another_country_is_a_folder(tmp_path: Path) -> None:
    """A form of its own with a value of `extra`, one language, the layout of cn."""
    folder = tmp_path / "nl"
    folder.mkdir()
    shutil.copy(FORMS / "cn/layout.typ", folder)
    shutil.copy(FORMS / "cn/words.en.json", folder / "words.nl.json")
    head = json.loads((FORMS / "cn/country.json").read_text(encoding="utf-8"))
    head |= {"languages": {"nl": {"lang": "nl", "region": "NL"}}, "documents": [{"form": "verzoek", "routes": ["A"]}]}
    (folder / "country.json").write_text(json.dumps(head), encoding="utf-8")
    form = {
        "title": "Verzoek tot tenuitvoerlegging",
        "blocks": [
            {"fields": [{"label": "Griffienummer", "text": "{extra.rolnummer}"}, {"label": "Leeg", "text": ""}]},
            {"when": "!has_costs", "heading": "Geen kosten"},
            {"each": "respondents", "blocks": [{"paragraphs": [{"text": "{number}. {item.name}"}]}]},
        ],
    }
    (folder / "verzoek.json").write_text(json.dumps(form), encoding="utf-8")
    facts = replace(sample_case.facts("A"), extra={"rolnummer": "C/13/700"})
    files = files_of(facts, folder)
    assert files.keys() == {"verzoek.nl.pdf", "facts.json"}
    text = pages.text_of(files["verzoek.nl.pdf"])
    assert "GriffienummerC/13/700" in text
    assert "Leegnone" in text
    assert "Geenkosten" not in text
    assert "2.陈立恒" in text


@pytest.mark.parametrize(
    ("code", "block"),
    [
        ("FORM_VALUE_UNKNOWN", {"heading": "{nothing}"}),
        ("FORM_VALUE_UNKNOWN", {"heading": "{loan.title.more}"}),
        ("FORM_VALUE_UNKNOWN", {"when": "nothing", "heading": "x"}),
        ("FORM_WRONG", {"heading": {"en": "only English"}}),
        ("FORM_WRONG", {"heading": 7}),
        ("FORM_WRONG", {"heading": "{loan}"}),
        ("FORM_WRONG", {"each": "loan", "heading": "x"}),
        ("FORM_WRONG", {"picture": "x"}),
    ],
)
def test_a_wrong_form_says_what_is_wrong(code: str, block: dict[str, Any]) -> None:
    values = {"loan": {"title": "借款合同"}, "list": [{"name": "x"}]}
    with pytest.raises(LitigationError) as raised:
        fill({"title": "t", "blocks": [block]}, values, "zh", "无")
    assert raised.value.code == code


def test_blocks_repeat_count_and_leave_out() -> None:
    values = {"list": [{"name": "甲", "here": True}, {"name": "乙", "here": False}], "no": "", "yes": "x"}
    form = {
        "title": {"zh": "表"},
        "blocks": [
            {"paragraphs": [{"each": "list", "text": "{number} {item.name}"}, {"when": "no", "text": "-"}]},
            {"fields": [{"each": "list", "when": "item.here", "label": "名", "text": "{item.name}"}]},
            {"fields": [{"label": "空", "text": "{no}"}, {"label": "空", "text": "", "empty": "blank"}]},
            {"table": {"columns": [{"label": "名", "text": "{item.name}"}], "each": "list", "total": ["{yes}"]}},
            {"when": "no", "blocks": [{"heading": "-"}]},
            {"fields": [{"when": "no", "label": "-"}]},
        ],
    }
    title, blocks = fill(form, values, "zh", "无").values()
    assert title == "表"
    assert [row["text"] for row in blocks[0]["rows"]] == ["1 甲", "2 乙"]
    assert [row["text"] for row in blocks[1]["rows"]] == ["甲"]
    assert [row["text"] for row in blocks[2]["rows"]] == ["无", ""]
    assert (blocks[3]["rows"], blocks[3]["total"]) == ([["甲"], ["乙"]], ["x"])
    assert len(blocks) == 4


def test_a_value_is_never_filled_in_twice() -> None:
    form = {"title": "t", "blocks": [{"heading": "{name}"}]}
    assert fill(form, {"name": "{secret}", "secret": "x"}, "zh", "")["blocks"][0]["text"] == "{secret}"


def _broken(folder: Path) -> None:
    (folder / "chronology.json").write_text("{", encoding="utf-8")


def _no_words(folder: Path) -> None:
    (folder / "words.en.json").unlink()


def _no_blocks(folder: Path) -> None:
    (folder / "chronology.json").write_text('{"title": "t"}', encoding="utf-8")


def _list(folder: Path) -> None:
    (folder / "country.json").write_text("[]", encoding="utf-8")


def _changed(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        head = json.loads((folder / "country.json").read_text(encoding="utf-8"))
        (folder / "country.json").write_text(json.dumps({**head, **changes}), encoding="utf-8")

    return change


def _layout(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "layout.typ").write_text(text, encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("code", "breaks"),
    [
        ("FORM_WRONG", _broken),
        ("FORM_WRONG", _no_words),
        ("FORM_WRONG", _no_blocks),
        ("FORM_WRONG", _list),
        ("FORM_WRONG", _changed(languages={"en": {}})),
        ("FORM_WRONG", _changed(documents=[{"form": "../chronology", "routes": ["A"]}])),
        ("FORM_WRONG", _changed(documents=[{"form": "chronology", "routes": ["C"]}])),
        ("FORM_WRONG", _changed(documents=[{"form": "chronology", "routes": []}])),
        ("FORM_LAYOUT", _layout("#panic()")),
        ("FORM_LAYOUT", _layout('#read("/etc/hostname")')),
        ("FORM_LAYOUT", _layout('#read("../secret.txt")')),
        ("FORM_LAYOUT", _layout('#import "@preview/cetz:0.4.0"')),
        ("FORM_LAYOUT", _layout('#set text(font: "No Such Font")\nx')),
    ],
)
def test_a_wrong_folder_says_what_is_wrong(code: str, breaks: Callable[[Path], None], tmp_path: Path) -> None:
    """A layout reads nothing outside its folder and fetches nothing."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "xx"
    shutil.copytree(FORMS / "cn", folder)
    breaks(folder)
    with pytest.raises(LitigationError) as raised:
        files_of(sample_case.facts("A"), folder)
    assert raised.value.code == code
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["atlantis", "../cn", "", "cn/../cn"])
def test_an_unknown_country(name: str) -> None:
    with pytest.raises(LitigationError) as raised:
        load(name)
    assert raised.value.code == "COUNTRY_UNKNOWN"


def _words(part: Any) -> Iterator[dict[str, Any]]:
    """Every map from language to text in a form."""
    if isinstance(part, dict):
        if part.keys() & {"zh", "en"}:
            yield part
            return
        for inner in part.values():
            yield from _words(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _words(inner)


def _places(tree: dict[str, Any], above: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in tree.items():
        found |= _places(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}"}
    return found
