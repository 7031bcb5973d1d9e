"""``tally credit explain``: recomputed by hand from the printout, and the same whenever it is asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from chain.block import CONSORTIUM
from chain.codec import encode
from chain.crypto import hash_value
from chain.ledger import Ledger
from chain.store import MemoryStore
from cli import explain, explain_words
from cli.errors import CliError
from cli.output import plain
from tests.chain.chain_builder import commit
from tests.cli import by_hand
from tests.cli.by_hand import Printout, minor
from tests.cli.credit_chain import CreditStory
from tests.contracts import trading


def told(story: CreditStory, what: str = "supplier", at: int | None = None, *, records: bool = True) -> str:
    """What the command prints."""
    found = explain.gather(story.client, what, at, records)  # type: ignore[arg-type]  # a client without a node
    json.dumps(plain(found))
    return "\n".join(explain_words.whole(found))


@pytest.fixture(scope="module")
def chapters() -> tuple[CreditStory, dict[int, str]]:
    """The whole story, and what was printed at each of its turns, by height."""
    story = CreditStory()
    story.history()
    story.apply()
    story.assess()
    printed = {story.ledger.height: told(story)}
    story.lend()
    printed[story.ledger.height] = told(story)
    story.deliver()
    story.assess()
    printed[story.ledger.height] = told(story)
    story.come_back()
    story.assess()
    printed[story.ledger.height] = told(story)
    return story, printed


def test_every_number_follows_from_the_printed_records(chapters: tuple[CreditStory, dict[int, str]]) -> None:
    limits = []
    for text in chapters[1].values():
        printout = Printout(text)
        records = printout.table("Records in force")
        said = printout.facts("Sums at block")
        assert {name: int(value) for name, value in said.items()} == by_hand.sums(records)
        limit = by_hand.initial_limit(printout)
        assert minor(printout.fact("initial limit")) == limit > 0
        limits.append(limit)
        assert "Computed again from the state of block" in text
        assert ": gives the same." in text
    assert len(set(limits)) > 1, "the story moves the limit"


def test_the_line_follows_from_the_printed_milestones(chapters: tuple[CreditStory, dict[int, str]]) -> None:
    increments = []
    for text in list(chapters[1].values())[1:]:
        printout = Printout(text)
        facts, found = printout.facts("Line, "), by_hand.line(printout)
        assert minor(facts["increments"]) == found["increments"]
        assert minor(facts["limit"]) == found["limit"]
        assert minor(facts["borrowing base"]) == found["base"]
        assert minor(facts["available"]) == found["available"]
        assert f"= {found['completion']}\n" in text
        increments.append(found["increments"])
    first, delivered, returned = increments
    assert first == 0 < returned < delivered, "evidence raises the limit, a return lowers it"


def test_a_falsified_row_does_not_add_up(chapters: tuple[CreditStory, dict[int, str]]) -> None:
    """The check can fail: one figure of one record changed in the printout."""
    text = list(chapters[1].values())[-1]
    falsified = re.sub(r"(order +O-2 +)14", r"\g<1>13", text)
    assert falsified != text
    printout = Printout(falsified)
    said = {name: int(value) for name, value in printout.facts("Sums at block").items()}
    assert said != by_hand.sums(printout.table("Records in force"))


def test_reasons_name_evidence_and_the_next_band(chapters: tuple[CreditStory, dict[int, str]]) -> None:
    story, printed = chapters
    text = list(printed.values())[-1]
    assessment = story.client.state(CONSORTIUM, "credit", "assessment", story.assessments[-1])
    listed = {row["record"] for row in Printout(text).table("Records in force")}
    evidence = {record.hex() for reason in assessment["reasons"] for record in reason["evidence"]}
    assert evidence & listed
    for record in evidence:
        assert record in text
    bands = [reason["next_band"] for reason in assessment["reasons"] if reason["next_band"]]
    assert bands
    for band in bands:
        assert f"next band {band['grade']}: {band['rule']}" in text


def test_at_a_height_it_says_what_it_said_then_whatever_was_adopted_since(
    chapters: tuple[CreditStory, dict[int, str]],
) -> None:
    story, printed = chapters
    newest = story.client.state(CONSORTIUM, "credit", "assessment", story.assessments[-1])
    adopt(story, "model", {**trading.model(), "version": 2, "weights": dict.fromkeys(by_hand.RATINGS, 1)})
    changed = trading.template() | {"version": 2}
    changed["kinds"]["order"]["fields"]["lines"]["weight"] = 9
    adopt(story, "template", changed)
    story.assess()
    for height, text in printed.items():
        assert told(story, at=height) == text
    assert told(story, newest["id"].hex(), at=newest["height"]) == list(printed.values())[-1]
    assert told(story, story.application.hex(), at=newest["height"]) == list(printed.values())[-1]
    now = told(story)
    assert "Model standard version 2:" in now
    assert by_hand.initial_limit(Printout(now)) == minor(Printout(now).fact("initial limit"))


def test_replayed_from_its_blocks_every_assessment_has_the_same_bytes() -> None:
    """A node that joins later executes the old blocks under the model of their time."""
    story = CreditStory()
    story.history()
    story.apply()
    old = story.assess()
    adopt(story, "model", {**trading.model(), "version": 2, "weights": dict.fromkeys(by_hand.RATINGS, 1)})
    new = story.assess()
    replayed = Ledger.create(MemoryStore(), story.document)
    for block in story.blocks:
        certificate = story.ledger.certificate(block.height)
        assert certificate is not None
        commit(replayed, block, certificate)
    assert replayed.head.digest == story.ledger.head.digest
    stored = []
    for identity in (old, new):
        key = encode(["credit", "assessment", identity])
        stored.append(replayed.state(CONSORTIUM, key))
        assert replayed.state_bytes(CONSORTIUM, key) == story.ledger.state_bytes(CONSORTIUM, key)
    assert [row["model"] for row in stored] == [["standard", 1], ["standard", 2]]
    assert stored[0]["composite"] != stored[1]["composite"]


def test_what_is_not_there_is_said_in_one_line(chapters: tuple[CreditStory, dict[int, str]]) -> None:
    story, _ = chapters
    for what, at, reason in (
        ("nobody", None, "no enterprise is or has identifier 'nobody'"),
        ("buyer", None, "buyer had no assessment by block"),
        ("00" * 32, None, "there is no application or assessment"),
        ("supplier", 1, "supplier had no assessment by block 1"),
        ("supplier", 10_000, "ask for a height up to that"),
    ):
        with pytest.raises(CliError, match=reason):
            told(story, what, at)


def adopt(story: CreditStory, what: str, document: dict[str, Any]) -> None:
    change = {"kind": "approve", "hash": hash_value(document), "title": what}
    proposal = story.call("erp", "gov.propose", change=change)
    story.tell(proposal)
    votes = [story.call(member, "gov.vote", proposal=proposal.id, accept=True) for member in ("guarantor", "lender")]
    story.tell(*votes)
    story.tell(story.call("erp", f"credit.adopt_{what}", document=document))
