"""Answers on paper: what is signed is what the chain then says, by the court's registered key or a certificate."""

from __future__ import annotations

from typing import Any

import pytest

from chain.crypto import SigningKey
from contracts import court_answer
from tests.contracts import court_desk as at
from tests.contracts.court_desk import COURT, SIZE, SUPPLEMENT, case_of, do
from tests.contracts.memory_context import CONSORTIUM, NETWORK_ID, Ledger, key
from tests.contracts.trading import ok

CA = {"certificates": [b"\x30\x03der"], "signature": b"signed", "algorithm": "cms"}


@pytest.fixture
def on() -> Ledger:
    return at.desk()


def back(on: Ledger, args: dict[str, Any], by: str = "lender") -> Any:
    return do(on, "hand_in_acknowledged", by, **args)


def test_the_text_is_fixed_to_the_byte(on: Ledger) -> None:
    case = at.handed_in(on)
    answer = court_answer.Answer("accepts", "(2026)沪74执1号", "", "", "2026-02-17")
    assert court_answer.paper(NETWORK_ID, case_of(on, case), 0, answer) == (
        "Tallystick court acknowledgement, version 1\n"
        f"network: {NETWORK_ID.hex()}\ncase: {case.hex()}\ncourt: court\nfiling: 0\n"
        f"bundle: {at.BUNDLE.hex()}\nsize: {SIZE}\nanswer: accepts\nnumber: (2026)沪74执1号\n"
        "code: -\ntext: -\nday: 2026-02-17\n"
    )


def test_a_signed_receipt_acknowledges_and_stays_with_its_signature(on: Ledger) -> None:
    case = at.handed_in(on)
    args = at.answer(on, case)
    assert ok(back(on, args)) == {"case": case, "state": "acknowledged"}
    said = case_of(on, case)["filings"][0]["acknowledged"]
    paper = on.read(CONSORTIUM, "court", "paper", said["paper"])
    assert (said["way"], said["by"]) == ("paper", "lender")
    assert (paper["key"], paper["signature"], paper["ca"]) == (COURT.public, args["signature"], None)
    assert (paper["case"], paper["filing"]) == (case, 0)
    assert "answer: received\n" in paper["text"]


def test_all_answers_on_paper_from_receipt_to_the_number(on: Ledger) -> None:
    case = at.handed_in(on)
    ok(back(on, at.answer(on, case, answer="asks", text="the delivery notes")))
    assert case_of(on, case)["state"] == "asked"
    ok(do(on, "supplement", "lender", case=case, bundle=SUPPLEMENT, size=5))
    ok(back(on, at.answer(on, case)))
    ok(back(on, at.answer(on, case, answer="accepts", number="(2026) 1")))
    entry = case_of(on, case)
    assert (entry["state"], entry["number"]) == ("accepted", "(2026) 1")
    assert [(step["step"], step["text"]) for step in entry["steps"][1:]] == [
        ("file", ""),
        ("hand_in_acknowledged", "asks: the delivery notes"),
        ("supplement", ""),
        ("hand_in_acknowledged", "received"),
        ("hand_in_acknowledged", "accepts"),
    ]


def test_refused_enforcement_on_paper_opens_the_way_of_a_suit(on: Ledger) -> None:
    case = at.handed_in(on)
    ok(back(on, at.answer(on, case, answer="rejects", code="NOT_ENFORCEABLE", text="no consent")))
    assert case_of(on, case)["state"] == "rejected"
    assert case_of(on, at.opened(on, case_of(on, case)["application"]))["route"] == "B"


def test_a_court_that_is_no_member_signs_with_a_certificate(on: Ledger) -> None:
    case = at.opened(on)
    args = at.by_hand(case, court_name=at.NAME)
    del args["court"]
    ok(do(on, "file", "lender", **args))
    signed = at.answer(on, case)
    assert back(on, signed).code == "WRONG_KEY"
    said = {name: value for name, value in signed.items() if name not in ("key", "signature")}
    ok(back(on, {**said, "ca": CA}))
    paper = on.read(CONSORTIUM, "court", "paper", case_of(on, case)["filings"][0]["acknowledged"]["paper"])
    assert (paper["key"], paper["signature"]) == (b"", b"signed")
    assert paper["ca"] == {"algorithm": "cms", "certificates": CA["certificates"]}
    assert f"court: {at.NAME}\n" in paper["text"]


def test_a_member_signs_with_its_registered_key_and_nothing_else(on: Ledger) -> None:
    case = at.handed_in(on)
    said = {name: value for name, value in at.answer(on, case).items() if name not in ("key", "signature")}
    assert back(on, {**said, "ca": CA}).code == "KEY_NEEDED"
    assert back(on, at.answer(on, case, signer=SigningKey(b"o" * 32))).code == "WRONG_KEY"
    assert back(on, {**at.answer(on, case), "key": key("lender")}).code == "WRONG_KEY"
    assert back(on, {**at.answer(on, case), "key": key("box")}).code == "WRONG_KEY"  # an encryption key


def test_an_ended_key_acknowledges_nothing(on: Ledger) -> None:
    case = at.handed_in(on)
    args = at.answer(on, case)
    ok(on.call(CONSORTIUM, "registry.revoke_key", {"key": COURT.public}, [key("court")]))
    on.next_block()
    assert back(on, args).code == "KEY_NOT_VALID"


@pytest.mark.parametrize(
    ("said", "method"),
    [
        ({"answer": "received"}, "court.acknowledge"),
        ({"answer": "asks", "text": "more"}, "court.ask"),
        ({"answer": "accepts", "number": "1"}, "court.accept"),
        ({"answer": "rejects", "code": "OTHER", "text": "no"}, "court.reject"),
    ],
)
def test_one_key_with_the_right_to_the_step_signs_it(on: Ledger, said: dict[str, str], method: str) -> None:
    others = [right for right in court_answer.METHOD.values() if right != method]
    narrow, right = SigningKey(b"n" * 32), SigningKey(b"r" * 32)
    for signer, rights in ((narrow, others), (right, [method])):
        args = {"key": signer.public, "purpose": "signer", "rights": rights}
        ok(on.call(CONSORTIUM, "registry.add_key", args, [key("court")]))
    on.next_block()
    case = at.handed_in(on)
    assert back(on, at.answer(on, case, signer=narrow, **said)).code == "RIGHT_MISSING"
    ok(on.call(CONSORTIUM, "registry.set_threshold", {"method": method, "count": 2}, [key("court")]))
    assert back(on, at.answer(on, case, signer=right, **said)).code == "MORE_SIGNATURES_NEEDED"
    ok(on.call(CONSORTIUM, "registry.set_threshold", {"method": method, "count": 1}, [key("court")]))
    ok(back(on, at.answer(on, case, signer=right, **said)))


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "accepts", "number": "(2026) 1"},
        {"day": "2026-02-18"},
        {"text": "and more"},
        {"number": "(2026) 9"},
    ],
)
def test_a_signature_over_another_answer_is_none(on: Ledger, changes: dict[str, str]) -> None:
    case = at.handed_in(on)
    assert back(on, {**at.answer(on, case), **changes}).code == "WRONG_SIGNATURE"


def test_an_answer_to_an_earlier_bundle_is_none_to_the_newest(on: Ledger) -> None:
    case = at.handed_in(on)
    first = at.answer(on, case)
    ok(back(on, at.answer(on, case, answer="asks", text="more")))
    ok(do(on, "supplement", "lender", case=case, bundle=SUPPLEMENT, size=5))
    assert back(on, first).code == "WRONG_SIGNATURE"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"answer": "maybe"}, "WRONG_ARGUMENT"),
        ({"answer": "accepts"}, "WRONG_ARGUMENT"),
        ({"answer": "asks"}, "WRONG_ARGUMENT"),
        ({"answer": "rejects", "text": "no"}, "WRONG_ARGUMENT"),
        ({"answer": "rejects", "text": "no", "code": "BAD"}, "WRONG_ARGUMENT"),
        ({"code": "OTHER"}, "WRONG_ARGUMENT"),
        ({"text": "two\nlines"}, "WRONG_ARGUMENT"),
        ({"text": "two\u2028lines"}, "WRONG_ARGUMENT"),
        ({"text": "turned \u202eround"}, "WRONG_ARGUMENT"),
        ({"text": " blank"}, "WRONG_ARGUMENT"),
        ({"number": "x" * 1_001}, "WRONG_ARGUMENT"),
        ({"day": "today"}, "WRONG_DATE"),
        ({"day": "2026-02-30"}, "WRONG_DATE"),
        ({"day": ""}, "WRONG_ARGUMENT"),
    ],
)
def test_an_answer_that_says_nothing_right_is_refused(on: Ledger, changes: dict[str, str], code: str) -> None:
    case = at.handed_in(on)
    assert back(on, {**at.answer(on, case), **changes}).code == code


@pytest.mark.parametrize(
    "slot",
    [
        {**CA, "algorithm": "md5"},
        {**CA, "certificates": []},
        {**CA, "certificates": [b""]},
        {**CA, "certificates": [b"x" * 4_097]},
        {**CA, "signature": b"x" * 16_385},
        {**CA, "more": 1},
        {"certificates": [b"x"], "signature": b"x"},
        b"slot",
    ],
)
def test_a_slot_of_another_form_is_refused(on: Ledger, slot: Any) -> None:
    case = at.opened(on)
    args = at.by_hand(case, court_name=at.NAME)
    del args["court"]
    ok(do(on, "file", "lender", **args))
    said = {name: value for name, value in at.answer(on, case).items() if name not in ("key", "signature")}
    assert back(on, {**said, "ca": slot}).code in ("WRONG_ARGUMENT", "UNKNOWN_ARGUMENT", "MISSING_ARGUMENT")


def test_key_and_signature_come_together_and_not_with_a_certificate(on: Ledger) -> None:
    case = at.handed_in(on)
    args = at.answer(on, case)
    assert back(on, {**args, "ca": CA}).code == "WRONG_ARGUMENT"
    for part in ("key", "signature"):
        assert back(on, {name: value for name, value in args.items() if name != part}).code == "MISSING_ARGUMENT"


def test_only_the_creditor_takes_back_and_only_what_was_handed_in(on: Ledger) -> None:
    case = at.handed_in(on)
    assert back(on, at.answer(on, case), "court").code == "ROLE_NOT_ALLOWED"
    assert back(on, at.answer(on, case), "lender-two").code == "NOT_YOUR_CASE"
    ok(back(on, at.answer(on, case)))
    assert back(on, at.answer(on, case)).code == "ALREADY_ACKNOWLEDGED"


def test_a_case_that_went_by_node_is_answered_there(on: Ledger) -> None:
    case = at.filed(on)
    assert back(on, at.answer(on, case)).code == "NOT_HANDED_IN"


def test_a_court_by_hand_may_come_to_answer_through_its_node(on: Ledger) -> None:
    case = at.handed_in(on)
    ok(back(on, at.answer(on, case)))
    ok(do(on, "accept", "court", case=case, number="(2026) 2"))
    assert case_of(on, case)["number"] == "(2026) 2"
