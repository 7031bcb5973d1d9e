"""Truth of bills from the text of DOMAIN 3 and [3]: one test per rule, and what must not depend on order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.documents import Document
from contracts.matching import Book
from contracts.truth import Verdict, judge
from tests.contracts import trading
from tests.contracts.trading import (
    BUYER,
    SUPPLIER,
    credit_note,
    despatch,
    documents,
    invoice,
    line,
    order,
    paper,
    receipt,
)

PARTIES = {BUYER: "buyer", "buyer-too": "buyer", SUPPLIER: "supplier"}


def party_of(identifier: str) -> str | None:
    return PARTIES.get(identifier)


def verdicts(*docs: Document) -> tuple[Verdict, ...]:
    return judge(Book(docs, party_of))


def story(**changed: bytes) -> tuple[Document, ...]:
    """Order, despatch, receipt and invoice that agree, with some of them replaced or (b"") left out."""
    papers = {"order": order(), "despatch": despatch(), "receipt": receipt(), "invoice": invoice(), **changed}
    chains = {"order": "procurement", "receipt": "procurement"}
    return documents(*((chains.get(name, "erp"), data) for name, data in papers.items() if data))


def one(*docs: Document) -> Verdict:
    (verdict,) = verdicts(*docs)
    return verdict


def rules(verdict: Verdict) -> list[str]:
    return [finding.rule for finding in verdict.findings]


def test_papers_that_agree_are_matched() -> None:
    verdict = one(*story())
    assert (verdict.status, verdict.findings) == ("matched", ())


@pytest.mark.parametrize(("ordered", "billed"), [("C62", "PCE"), ("H87", "EA"), ("PCE", "C62")])
def test_pieces_are_pieces_under_each_code_list(ordered: str, billed: str) -> None:
    """An EDIFACT bill says PCE where a UBL order says C62; a greater count is contradicted all the same."""

    def told(quantity: str, amount: str, total: str) -> Verdict:
        lines = [line(quantity, "10.00", amount, unit=billed)]
        papers = {
            "order": order(fields={"lines": [line("100", "10.00", "1000.00", unit=ordered)]}),
            "despatch": despatch(fields={"lines": [line("100", unit=ordered)]}),
            "receipt": receipt(fields={"lines": [line("100", unit=ordered)]}),
            "invoice": invoice(amount=amount, total=total, fields={"lines": lines}),
        }
        return one(*story(**papers))

    assert told("100", "1000.00", "1200.00").status == "matched"
    assert told("120", "1200.00", "1400.00").status == "contradicted"


def test_an_invoice_for_more_than_was_received_is_contradicted_and_both_values_named() -> None:
    verdict = one(*story(receipt=receipt("90"), despatch=despatch("90")))
    assert verdict.status == "contradicted"
    finding = verdict.findings[-1]
    assert finding.rule == "QUANTITY_RECEIVED"
    assert finding.text == "quantity: invoice I-1 line 1 says 100, receipt R-1 says 90"
    assert (finding.ours, finding.theirs) == ("100", "90")
    assert rules(verdict) == ["QUANTITY_DESPATCHED", "QUANTITY_RECEIVED"]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"invoice": invoice("120", amount="1200.00", total="1400.00")}, "QUANTITY_ORDERED"),
        ({"invoice": invoice("120")}, "QUANTITY_RECEIVED"),
        ({"receipt": receipt("120")}, "RECEIVED_DESPATCHED"),
        ({"despatch": despatch("80")}, "RECEIVED_DESPATCHED"),
        ({"order": order("80", amount="800.00")}, "QUANTITY_ORDERED"),
        ({"invoice": invoice(price="11.00", amount="1100.00", total="1300.00")}, "PRICE"),
        ({"invoice": invoice(amount="1100.00", total="1300.00")}, "AMOUNT"),
        ({"invoice": invoice(occurred_at="2025-11-29")}, "DATE"),
        ({"receipt": receipt(occurred_at="2025-12-08")}, "DATE"),
        ({"invoice": invoice(fields={"currency": "EUR"})}, "CURRENCY"),
        ({"invoice": invoice(counterparty="stranger", fields={"buyer_name": "Stranger"})}, "PARTY"),
        ({"despatch": despatch(enterprise=BUYER)}, "PARTY"),
        ({"invoice": invoice(fields={"lines": [line("100", "10.00", "1000.00", item="W-2", number="2")]})}, "ITEM"),
        ({"invoice": invoice(fields={"lines": [line("100", "10.00", "1000.00", item="W-2")]})}, "ITEM"),
    ],
)
def test_each_rule_contradicts(changed: dict[str, bytes], rule: str) -> None:
    verdict = one(*story(**changed))
    assert verdict.status == "contradicted"
    assert rule in [finding.rule for finding in verdict.findings if finding.contradicts]


@pytest.mark.parametrize("name", ["order", "despatch", "receipt", "invoice"])
@pytest.mark.parametrize("quantity", ["80", "120"])
def test_one_altered_quantity_in_any_paper_is_noticed(name: str, quantity: str) -> None:
    """The paper's own money stays as it was, as a forger of one figure leaves it."""
    makers: dict[str, Callable[[str], bytes]]
    makers = {"order": order, "despatch": despatch, "receipt": receipt, "invoice": invoice}
    verdict = one(*story(**{name: makers[name](quantity)}))
    assert verdict.status in ("contradicted", "partial")
    assert any(quantity in (finding.ours, finding.theirs) or quantity in finding.text for finding in verdict.findings)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"despatch": b"", "receipt": b""}, "RECEIPT_MISSING"),
        ({"invoice": invoice(fields={"lines": [line("100", "", "1000.00")]})}, "PRICE"),
        ({"invoice": invoice(fields={"lines": [line("", "10.00", "1000.00")]})}, "QUANTITY"),
        ({"invoice": invoice(fields={"lines": [line("100", "10.00", "1000.00", unit="LTR")]})}, "UNIT"),
        ({"invoice": invoice(fields={"lines": [line("100", "10.00", "1000.00", item="GTIN:9")]})}, "ITEM"),
        ({"invoice": invoice(total="1300.00")}, "AMOUNT_SUM"),
        ({"despatch": despatch("110")}, "DESPATCHED_ORDERED"),
    ],
)
def test_what_cannot_be_settled_is_partial_and_no_contradiction(changed: dict[str, bytes], rule: str) -> None:
    verdict = one(*story(**changed))
    assert verdict.status == "partial"
    assert rule in rules(verdict)


def test_a_bill_without_an_order_is_unmatched() -> None:
    assert one(*story(order=b"", despatch=b"", receipt=b"")).status == "unmatched"


def test_tolerances_are_the_templates() -> None:
    # general-trade: 0.5 % of quantity: 100.5 of 100 passes, 100.6 does not
    within = one(*story(invoice=invoice("100.5", amount="1005.00", total="1205.00")))
    assert within.status == "matched"
    beyond = one(*story(invoice=invoice("100.6", amount="1006.00", total="1206.00")))
    assert beyond.status == "contradicted"


def test_half_an_order_may_be_billed() -> None:
    half = invoice("50", amount="500.00", tax="100.00", total="600.00")
    assert one(*story(invoice=half)).status == "matched"


def test_quantities_are_cumulative_over_the_bills_of_an_order() -> None:
    first = invoice("60", amount="600.00", tax="0.00", total="600.00", number="I-1", occurred_at="2025-12-12")
    second = invoice("60", amount="600.00", tax="0.00", total="600.00", number="I-2", occurred_at="2025-12-13")
    found = {v.bill.number: v for v in verdicts(*story(invoice=first), *documents(("erp", second)))}
    assert found["I-1"].status == "matched"
    assert found["I-2"].status == "contradicted"
    text = "quantity: invoice I-1, I-2 less credit notes together say 120 of W-1, receipt R-1 says 100"
    assert text in [finding.text for finding in found["I-2"].findings]


def test_a_credit_note_takes_back_what_was_billed_too_much() -> None:
    docs = (*story(receipt=receipt("90"), despatch=despatch("90")), *documents(("erp", credit_note("10", "100.00"))))
    assert {v.bill.kind: v.status for v in verdicts(*docs)} == {"invoice": "matched", "credit_note": "matched"}


def test_a_credit_note_over_its_invoice_is_contradicted_and_one_without_unmatched() -> None:
    over = documents(("erp", credit_note("130", "1300.00")))
    assert {v.bill.kind: v.status for v in verdicts(*story(), *over)}["credit_note"] == "contradicted"
    lone = documents(("erp", credit_note("1", "10.00", links=[["invoice", SUPPLIER, "I-9"]])))
    assert one(*lone).status == "unmatched"


def test_the_same_bill_on_a_second_chain_is_a_duplicate() -> None:
    (copy,) = documents(("erp-two", invoice(source=["other", "other", "1", bytes(32), 5])), height=2)
    found = {v.bill.chain: v for v in verdicts(*story(), copy)}
    assert found["erp"].status == "matched"
    assert found["erp-two"].status == "duplicate"
    (finding,) = found["erp-two"].findings
    assert finding.text == "duplicate: invoice I-1 on chain erp-two is already sealed on chain erp"


def test_two_versions_of_a_bill_on_two_chains_contradict_each_other() -> None:
    (copy,) = documents(("erp-two", invoice(total="1200.00", tax="200.0")), height=2)
    (other,) = documents(("erp-two", invoice(amount="900.00", total="1100.00")), height=2)
    assert {v.bill.chain: v.status for v in verdicts(*story(), other)}["erp"] == "contradicted"
    text = "copies: invoice I-1 says 1200 on chain erp, 1100 on chain erp-two"
    assert text in [f.text for v in verdicts(*story(), other) for f in v.findings]
    assert {v.bill.chain: v.status for v in verdicts(*story(), copy)}["erp"] == "contradicted"


def test_parties_are_compared_by_who_they_are_not_by_how_a_paper_calls_them() -> None:
    assert one(*story(order=order(counterparty="buyer-too", issuer="buyer-too"))).status == "matched"


def test_names_stand_in_where_a_paper_has_no_registered_identifier() -> None:
    verdict = one(*story(invoice=invoice(counterparty="unknown id")))
    assert verdict.status == "matched"
    doubtful = one(*story(despatch=despatch(counterparty="unknown id")))
    assert (doubtful.status, rules(doubtful)) == ("partial", ["PARTY"])


def test_an_unknown_issuer_is_looked_up_at_the_counterparty_then_the_enterprise() -> None:
    theirs = order("50", amount="500.00", issuer=BUYER)
    own = order("100", issuer=SUPPLIER)
    # Both are called O-1. The invoice names no issuer: the buyer's order counts, and 100 is too much for it.
    docs = documents(("procurement", theirs), ("procurement", own), ("erp", invoice()))
    assert "QUANTITY_ORDERED" in rules(one(*docs))
    only_own = documents(("procurement", own), ("erp", invoice()))
    assert "ORDER_MISSING" not in rules(one(*only_own))
    strangers = [order(issuer=f"stranger {n}") for n in (1, 2)]
    ambiguous = documents(*(("procurement", data) for data in strangers), ("erp", invoice()))
    assert one(*ambiguous).status == "unmatched"


def test_a_named_issuer_is_never_guessed_around() -> None:
    wrong = invoice(links=[["order", "stranger", "O-1"]])
    assert one(*story(invoice=wrong)).status == "unmatched"


def test_papers_are_joined_over_several_links() -> None:
    """The invoice names the receipt, the receipt the despatch, the despatch the order."""
    far = invoice(links=[["receipt", "", "R-1"]])
    verdict = one(*story(invoice=far))
    assert verdict.status == "matched"
    assert [doc.number for doc in verdict.trade.orders] == ["O-1"]


def test_an_order_whose_own_figures_disagree_leaves_a_doubt() -> None:
    """As in the public UBL sample: 100 at 100.00 is not 100.00."""
    verdict = one(*story(order=order("100", price="10.00", amount="2000.00")))
    assert verdict.status == "partial"
    assert "arithmetic: order O-1 line 1 says 2000, 100 at 10 is 1000" in [f.text for f in verdict.findings]


def test_a_bill_without_an_amount_counts_for_nothing_and_says_so() -> None:
    bare = paper("invoice", "I-1", SUPPLIER, {"issue_date": "2025-12-12"}, [("order", "", "O-1")])
    verdict = one(*story(invoice=bare))
    assert verdict.amount is None
    assert verdict.status == "partial"


def part(n: int, quantity: str = "50") -> bytes:
    """The bill of the n-th part of the order, which names the part's despatch."""
    money = f"{int(quantity) * 10}.00"
    links = [["despatch", SUPPLIER, f"D-{n}"], ["order", "", "O-1"]]
    day = {"occurred_at": f"2025-12-1{n + 1}"}
    return invoice(quantity, amount=money, tax="0", total=money, number=f"I-{n}", links=links, **day)


def parts(*papers: tuple[str, bytes]) -> dict[str, Verdict]:
    """The first half of an order of 100 with all its papers, and some of the second's."""
    first = (("procurement", order()), ("erp", despatch("50")), ("procurement", receipt("50")), ("erp", part(1)))
    return {verdict.bill.number: verdict for verdict in verdicts(*documents(*first, *papers))}


def test_papers_that_come_late_leave_a_doubt_until_they_are_here() -> None:
    bill, sent = ("erp", part(2)), ("erp", despatch("50", number="D-2"))
    got = ("procurement", receipt("50", number="R-2", despatch_number="D-2"))
    for papers in ((bill,), (bill, sent), (bill, got)):
        found = parts(*papers)
        assert found["I-1"].status in ("matched", "partial")
        assert found["I-2"].status == "partial"
        assert set(rules(found["I-2"])) <= {"AWAITED", "DESPATCH_AWAITED"}
    assert {number: verdict.status for number, verdict in parts(bill, sent, got).items()} == {
        "I-1": "matched",
        "I-2": "matched",
    }


def test_goods_on_their_way_excuse_no_more_than_they_are() -> None:
    sent = ("erp", despatch("20", number="D-2"))
    assert parts(("erp", part(2, "20")), sent)["I-2"].status == "partial"
    assert parts(("erp", part(2, "40")), sent)["I-2"].status == "contradicted"


def test_a_bill_for_more_than_the_despatch_it_names_is_in_doubt_though_the_trade_makes_up_for_it() -> None:
    second = (
        ("erp", despatch("50", number="D-2")),
        ("procurement", receipt("50", number="R-2", despatch_number="D-2")),
    )
    found = parts(("erp", part(2, "50")), *second)
    assert found["I-2"].status == "matched"
    docs = documents(("procurement", order()), ("erp", despatch("50")), ("procurement", receipt("50")), *second)
    verdict = one(*docs, *documents(("erp", part(1, "60"))))
    assert (verdict.status, rules(verdict)) == ("partial", ["QUANTITY_NAMED"])


def returned(quantity: str) -> tuple[Document, ...]:
    fields = {"issue_date": "2025-12-13", "lines": [line(quantity)]}
    data = paper("return", "T-1", BUYER, fields, [("receipt", BUYER, "R-1")], occurred_at="2025-12-13")
    return documents(("procurement", data))


def test_goods_that_went_back_are_in_doubt_until_they_are_credited() -> None:
    verdict = one(*story(), *returned("10"))
    assert (verdict.status, rules(verdict)) == ("partial", ["RETURNED"])
    assert verdict.findings[0].text == "quantity: invoice I-1 line 1 says 100, 90 were kept after return T-1"
    credited = verdicts(*story(), *returned("10"), *documents(("erp", credit_note("10", "100.00"))))
    assert {v.status for v in credited} == {"matched"}


@pytest.mark.parametrize(
    ("left_out", "day", "status"),
    [
        (("despatch", "receipt"), "2025-12-05", "contradicted"),
        (("despatch", "receipt"), "2025-12-20", "partial"),  # cancelled after it was billed
        ((), "2025-12-05", "partial"),  # the buyer took the goods nevertheless
    ],
)
def test_a_bill_of_a_cancelled_order(left_out: tuple[str, ...], day: str, status: str) -> None:
    gone = paper("order_cancellation", "X-1", BUYER, {"issue_date": day}, [("order", BUYER, "O-1")], occurred_at=day)
    verdict = one(*story(**dict.fromkeys(left_out, b"")), *documents(("procurement", gone)))
    assert verdict.status == status
    assert "CANCELLED" in rules(verdict)


@pytest.mark.parametrize("issuer", [SUPPLIER, "stranger"])
def test_a_receipt_that_the_buyer_did_not_issue_proves_nothing(issuer: str) -> None:
    verdict = one(*story(receipt=receipt(issuer=issuer)))
    assert (verdict.status, rules(verdict)) == ("partial", ["RECEIPT_ISSUER"])


def test_an_upheld_dispute_makes_a_bill_false() -> None:
    (verdict,) = judge(Book(story(), party_of), lambda bill: bill.number == "I-1")
    assert (verdict.status, rules(verdict)) == ("contradicted", ["DISPUTE_UPHELD"])


quantities = st.integers(1, 200).map(str)


@st.composite
def heaps(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Some orders, despatches, receipts, invoices and copies, agreeing or not."""
    papers: list[tuple[str, bytes]] = []
    for n in range(draw(st.integers(1, 3))):
        papers.append(("procurement", order(draw(quantities), number=f"O-{n}")))
        papers.append(("erp", despatch(draw(quantities), number=f"D-{n}", order_number=f"O-{n}")))
        papers.append(("procurement", receipt(draw(quantities), number=f"R-{n}", despatch_number=f"D-{n}")))
    for n in range(draw(st.integers(1, 4))):
        target = f"O-{draw(st.integers(0, 3))}"
        bill = invoice(draw(quantities), number=f"I-{n}", links=[["order", "", target]])
        papers.append(("erp", bill))
        if draw(st.booleans()):
            papers.append(("erp-two", bill))
    return papers


@settings(max_examples=60, deadline=None)
@given(heaps(), st.integers())
def test_verdicts_do_not_depend_on_the_order_of_the_papers(papers: list[tuple[str, bytes]], seed: int) -> None:
    def outcome(shuffled: list[tuple[str, bytes]]) -> list[Any]:
        found = verdicts(*documents(*shuffled))
        return sorted((v.bill.id, v.bill.chain, v.status, [f.text for f in v.findings]) for v in found)

    shuffled = list(papers)
    random.Random(seed).shuffle(shuffled)
    assert outcome(shuffled) == outcome(papers)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150))
def test_matched_never_bills_more_than_was_ordered_sent_and_received(ordered: int, sent: int, billed: int) -> None:
    money = f"{billed * 10}.00"
    docs = story(
        order=order(str(ordered), amount=f"{ordered * 10}.00"),
        despatch=despatch(str(sent)),
        receipt=receipt(str(sent)),
        invoice=invoice(str(billed), amount=money, tax="0", total=money),
    )
    if one(*docs).status == "matched":
        assert billed * 10_000 <= min(ordered, sent) * 10_050


def test_the_helper_template_is_the_shipped_one() -> None:
    assert trading.template()["tolerances"]["quantity_bp"] == 50
