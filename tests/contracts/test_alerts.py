"""What is told in the block that shows it: rules of suspicion, whom it concerns, and bounds that lose nothing."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import alerts, book, disputes, trades
from contracts.errors import ContractError
from contracts.evidence import Reader
from contracts.findings import WATCH, watch
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BUYER, DAY, SUPPLIER, ok, seal


def told(on: Ledger, *rules: str) -> list[dict[str, Any]]:
    """Alerts so far, of these rules if any are given."""
    count = on.read(CONSORTIUM, "credit", "alert_count") or 0
    found = [on.read(CONSORTIUM, "credit", "alert", n) for n in range(count)]
    return [alert for alert in found if not rules or alert["rule"] in rules]


def story(on: Ledger, *left_out: str, **changed: bytes) -> None:
    papers = {
        "order": ("procurement", trading.order()),
        "despatch": ("erp", trading.despatch()),
        "receipt": ("procurement", trading.receipt()),
        "invoice": ("erp", trading.invoice()),
    }
    for name, (chain, data) in papers.items():
        if name not in left_out:
            seal(on, chain, changed.get(name, data))
    on.next_block()


def test_a_clean_story_raises_nothing_however_long_one_waits() -> None:
    on = trading.ledger()
    story(on)
    for _ in range(3):
        on.next_block(after_ms=40 * DAY)
    assert told(on) == []


def test_an_alert_is_a_notice_to_those_concerned_in_the_block_that_shows_it() -> None:
    on = trading.ledger()
    story(on, "receipt")
    seal(on, "procurement", trading.receipt("90"))
    context = MemoryContext(on, CONSORTIUM, "credit")
    on.seed(CONSORTIUM, "credit", "lines_of", "supplier", value=[b"a"])
    on.seed(CONSORTIUM, "credit", "line", b"a", value={"lender": "lender"})
    book.run(context, Reader(context))
    name, event = context.events[0]
    assert name == "alert"
    assert (event["rule"], event["status"], event["height"]) == ("QUANTITY_RECEIVED", "contradicted", on.height)
    assert event["to"] == ["erp", "lender", "procurement", "supplier"]
    assert (event["ours"], event["theirs"]) == ("100", "90")
    assert event["evidence"][:2] == [record_id(trading.invoice()), record_id(trading.receipt("90"))]


def test_a_value_outside_its_range_is_told_once_and_named() -> None:
    on = trading.ledger()
    seal(on, "procurement", trading.order("200000000", amount="2000000000.00"))
    on.next_block()
    on.next_block()
    (alert,) = told(on)
    assert alert["rule"] == "IMPLAUSIBLE"
    assert alert["text"] == "value: order O-1 says lines 200000000, above 100000000"


@pytest.mark.parametrize("factor", ["total", "net", "line"])
def test_figures_of_a_bill_that_ask_for_more_than_they_come_to_are_told(factor: str) -> None:
    changed = {
        "total": trading.invoice(total="1300.00"),
        "net": trading.invoice("50", amount="600.00", tax="120.00", total="720.00", fields={"lines": [HALF]}),
        "line": trading.invoice("50", amount="600.00", tax="120.00", total="720.00"),
    }
    on = trading.ledger()
    story(on, invoice=changed[factor])
    rules = {"total": "AMOUNT_SUM", "net": "NET_SUM", "line": "ARITHMETIC"}
    assert [alert["rule"] for alert in told(on)] == [rules[factor]]


HALF = trading.line("50", "10.00", "500.00")


def test_freight_that_the_order_has_too_is_no_suspicion() -> None:
    on = trading.ledger()
    order = trading.order(amount="1000.00")
    dearer = trading.paper(
        "order",
        "O-1",
        BUYER,
        {**trading.decode_record(order)[12], "total": "1050.00"},
        occurred_at="2025-12-01",
    )
    bill = trading.invoice(amount="1050.00", tax="210.00", total="1260.00", fields={"lines": [WHOLE]})
    story(on, order=dearer, invoice=bill)
    assert told(on) == []


WHOLE = trading.line("100", "10.00", "1000.00")


# duplicates ------------------------------------------------------------------------------------------------------


def test_a_copy_on_another_chain_is_a_duplicate_and_an_altered_one_differs() -> None:
    on = trading.ledger()
    story(on)
    seal(on, "erp-two", trading.invoice(total="1100.00"))
    on.next_block()
    assert {alert["rule"] for alert in told(on)} == {"DUPLICATE", "COPIES_DIFFER"}
    assert all({"erp", "erp-two"} <= set(alert["to"]) for alert in told(on))


def test_a_bill_numbered_anew_without_its_order_is_likely_a_duplicate() -> None:
    on = trading.ledger()
    story(on)
    seal(on, "erp-two", trading.invoice(number="Z-9", links=[]))
    on.next_block()
    (alert,) = told(on)
    assert (alert["rule"], alert["bill"][2]) == ("LIKELY_DUPLICATE", "Z-9")


def test_two_bills_of_one_despatch_and_amount_are_told_though_the_order_has_room() -> None:
    on = trading.ledger()
    moved = [["despatch", SUPPLIER, "D-1"], ["order", "", "O-1"]]
    half = {"amount": "500.00", "tax": "100.00", "total": "600.00"}
    story(on, invoice=trading.invoice("50", links=moved, **half))
    seal(on, "erp-two", trading.invoice("50", number="Z-9", links=moved, **half))
    on.next_block()
    assert [alert["rule"] for alert in told(on)] == ["LIKELY_DUPLICATE"]


@pytest.mark.parametrize(("credited", "rules"), [("100.00", ["LIKELY_DUPLICATE"]), ("600.00", [])])
def test_a_bill_may_come_again_once_credit_notes_take_it_back_as_a_whole(credited: str, rules: list[str]) -> None:
    on = trading.ledger()
    moved = [["despatch", SUPPLIER, "D-1"], ["order", "", "O-1"]]
    half = {"amount": "500.00", "tax": "100.00", "total": "600.00"}
    story(on, invoice=trading.invoice("50", links=moved, **half))
    seal(on, "erp", trading.credit_note("5", credited))
    seal(on, "erp", trading.invoice("50", number="I-2", links=moved, **half))
    on.next_block()
    assert [alert["rule"] for alert in told(on, "LIKELY_DUPLICATE")] == rules


@pytest.mark.parametrize("apart", ["its own order", "another buyer", "another amount", "a month later"])
def test_the_same_amount_again_is_no_duplicate_by_itself(apart: str) -> None:
    on = trading.ledger()
    story(on)
    again = {
        "its own order": trading.invoice(number="I-2", links=[["order", "", "O-2"]]),
        "another buyer": trading.invoice(number="I-2", links=[], counterparty="x", fields={"buyer_name": "X"}),
        "another amount": trading.invoice(number="I-2", links=[], total="1200.01"),
        "a month later": trading.invoice(number="I-2", links=[], occurred_at="2025-11-12"),
    }
    seal(on, "erp", again[apart])
    on.next_block()
    assert told(on) == []


# phantom deliveries ----------------------------------------------------------------------------------------------


def test_a_receipt_of_the_sellers_own_is_a_phantom_at_once() -> None:
    on = trading.ledger()
    story(on, receipt=trading.receipt(issuer=SUPPLIER))
    (alert,) = told(on)
    assert (alert["rule"], alert["status"]) == ("PHANTOM", "partial")
    assert "issued by the seller" in alert["text"]


def test_without_a_receipt_of_the_buyers_a_bill_becomes_a_phantom_when_its_days_are_over() -> None:
    on = trading.ledger()
    story(on, "receipt")
    on.next_block(after_ms=29 * DAY)
    assert told(on) == []
    on.next_block(after_ms=3 * DAY)
    assert [alert["rule"] for alert in told(on)] == ["PHANTOM"]


@pytest.mark.parametrize("settled_by", ["receipt", "confirmation"])
def test_the_buyers_receipt_or_confirmation_in_time_settles_it(settled_by: str) -> None:
    on = trading.ledger()
    story(on, "receipt")
    on.next_block(after_ms=20 * DAY)
    if settled_by == "receipt":
        seal(on, "procurement", trading.receipt())
    else:
        ok(trading.confirm(on, trading.invoice(), "buyer"))
    for _ in range(4):
        on.next_block(after_ms=20 * DAY)
    assert told(on) == []


# dates -------------------------------------------------------------------------------------------------------------


def test_a_bill_dated_long_before_the_despatch_it_names_is_backdated() -> None:
    on = trading.ledger()
    links = [["despatch", SUPPLIER, "D-1"], ["order", "", "O-1"]]
    early = trading.invoice(occurred_at="2025-12-01", links=links)
    story(on, invoice=early)
    assert [alert["rule"] for alert in told(on)] == ["BACKDATED"]


def bills_of_a_series(on: Ledger, dates: list[str]) -> None:
    """Bills 1, 2, ... of one series, each with an order of its own that nobody has sealed."""
    for n, day in enumerate(dates, 1):
        seal(on, "erp", trading.invoice(number=f"S-{n:04}", occurred_at=day, links=[["order", "", f"P-{n}"]]))
        on.next_block()


def test_a_date_against_the_order_of_numbers_is_backdated_where_the_series_was_in_order() -> None:
    on = trading.ledger()
    bills_of_a_series(on, [f"2025-11-{day:02}" for day in range(10, 20)] + ["2025-10-20", "2025-11-21"])
    alerts_told = told(on, "BACKDATED")
    assert [alert["bill"][2] for alert in alerts_told] == ["S-0011"]
    assert alerts_told[0]["text"].endswith("after invoice S-0010 of 2025-11-19 in its series")


def test_a_series_that_never_was_in_order_tells_nothing() -> None:
    on = trading.ledger()
    bills_of_a_series(on, [f"2025-{month:02}-15" for month in (6, 1, 9, 3, 11, 2, 10, 4, 8, 5, 7, 1)])
    assert told(on, "BACKDATED") == []


# circles -----------------------------------------------------------------------------------------------------------


def sale(
    seller: str, buyer: str, day: int, item: str = "W-1", quantity: str = "100", total: str = "1200.00"
) -> bytes:
    fields = {
        "issue_date": f"2025-12-{day:02}",
        "currency": "GBP",
        "total": total,
        "lines": [trading.line(quantity, "10.00", "1000.00", item=item)],
    }
    return trading.paper(
        "invoice",
        f"I-{seller}-{buyer}",
        seller,
        fields,
        enterprise=seller,
        counterparty=buyer,
        occurred_at=f"2025-12-{day:02}",
    )


def round_trip(*sales: bytes) -> list[dict[str, Any]]:
    on = trading.ledger()
    for bill in sales:
        seal(on, "erp", bill)
        on.next_block()
    return told(on, "CIRCULAR_TRADE")


def test_goods_that_come_back_to_their_seller_are_told_whichever_bill_closes_the_circle() -> None:
    bills = [sale("a", "b", 1), sale("b", "c", 5), sale("c", "a", 9)]
    for turn in range(3):
        (alert,) = round_trip(*bills[turn:], *bills[:turn])
        assert set(alert["evidence"]) == {record_id(bill) for bill in bills}
    (alert,) = round_trip(*bills)
    assert alert["text"] == "circle: what invoice I-c-a bills goes round, c to a to b to c"


def test_the_same_money_for_other_goods_is_a_circle_from_three_parties_on() -> None:
    three = [sale("a", "b", 1, "X"), sale("b", "c", 5, "Y", "7"), sale("c", "a", 9, "Z", "3", "1210.00")]
    assert len(round_trip(*three)) == 1
    assert round_trip(sale("a", "b", 1, "X"), sale("b", "a", 5, "Y", "7")) == []


@pytest.mark.parametrize(
    "back",
    [
        sale("c", "a", 9, "Z", "3", "1400.00"),  # other goods for other money
        sale("c", "a", 9, quantity="150", total="1200.00"),  # the same goods, half as much again
        sale("c", "d", 9),  # to somebody else
    ],
)
def test_ordinary_trade_is_no_circle(back: bytes) -> None:
    assert round_trip(sale("a", "b", 1), sale("b", "c", 5), back) == []


def test_a_circle_of_six_or_one_outside_the_window_is_not_looked_for() -> None:
    names = "abcdef"
    ring = [sale(names[n], names[(n + 1) % 6], 1 + n) for n in range(6)]
    assert round_trip(*ring) == []
    late = trading.paper(
        "invoice",
        "I-late",
        "b",
        trading.decode_record(sale("b", "a", 1))[12],
        enterprise="b",
        counterparty="a",
        occurred_at="2025-09-01",
    )
    assert round_trip(sale("a", "b", 1), late) == []


# bounds and thresholds ---------------------------------------------------------------------------------------------


def test_alerts_beyond_a_blocks_bound_are_raised_in_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "ALERTS_PER_BLOCK", 2)
    on = trading.ledger()
    for n in range(5):
        seal(on, "procurement", trading.order(number=f"O-{n}"))
        seal(on, "erp", trading.invoice("120", number=f"I-{n}", links=[["order", "", f"O-{n}"]]))
    counts = []
    for _ in range(6):
        on.next_block()
        counts.append(len(told(on)))
    assert counts[-1] == 5
    assert all(later - earlier <= 2 for earlier, later in zip([0, *counts], counts, strict=False))


@pytest.mark.parametrize("bound", ["MAX_PAPERS", "MAX_TOPICS", "MAX_LINES"])
def test_a_trade_beyond_a_bound_leaves_its_bills_partial_and_says_so(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, bound, 3)
    on = trading.ledger()
    story(on)
    verdict = on.read(CONSORTIUM, "credit", "verdict", "erp", "invoice", SUPPLIER, "I-1")
    assert (verdict["status"], verdict["findings"][0]["rule"]) == ("partial", "TRADE_TOO_LARGE")


def test_what_is_pending_beyond_a_transactions_bound_is_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    on = trading.ledger()
    story(on, "invoice")
    seal(on, "erp", trading.invoice())
    seal(on, "erp", trading.despatch(number="D-9", order_number="O-9"))
    context = MemoryContext(on, CONSORTIUM, "credit")
    reader = Reader(context)
    monkeypatch.setattr(book, "PAPERS_PER_CALL", 1)
    with pytest.raises(ContractError, match="still being judged"):
        book.settle(context, reader, reader.universe(SUPPLIER))
    monkeypatch.setattr(book, "PAPERS_PER_CALL", 10)
    context = MemoryContext(on, CONSORTIUM, "credit")
    book.settle(context, Reader(context), reader.universe(SUPPLIER))
    verdict = book.verdict_of(context, "erp", ("invoice", SUPPLIER, "I-1"))
    assert verdict is not None
    assert verdict["status"] == "matched"


def test_a_block_without_papers_writes_nothing() -> None:
    on = trading.ledger()
    story(on)
    on.next_block()
    context = MemoryContext(on, CONSORTIUM, "credit")
    assert book.run(context, Reader(context)) == ()
    assert context.writes == {}


def test_a_bill_of_a_cancelled_order_is_told() -> None:
    on = trading.ledger()
    story(on, "despatch", "receipt")
    gone = trading.paper(
        "order_cancellation",
        "X-1",
        BUYER,
        {"issue_date": "2025-12-05"},
        [("order", BUYER, "O-1")],
        occurred_at="2025-12-05",
    )
    seal(on, "procurement", gone)
    on.next_block()
    assert [alert["rule"] for alert in told(on)] == ["CANCELLED"]


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ([], "alerts is a map"),
        ({"phantom": 3}, "alerts has no 'phantom'"),
        ({"phantom_days": -1}, "alerts.phantom_days is an integer from 0"),
        ({"phantom_days": True}, "alerts.phantom_days is an integer from 0"),
        ({"circular_parties": 6}, "alerts.circular_parties is an integer from 0 to 5"),
    ],
)
def test_a_templates_thresholds_are_checked(given: Any, rule: str) -> None:
    with pytest.raises(ContractError, match=rule.replace(".", r"\.")):
        watch({"alerts": given})


def test_a_template_without_thresholds_has_the_usual_ones() -> None:
    assert watch({}) == WATCH
    assert watch({"alerts": {"phantom_days": 60}}) == WATCH._replace(phantom_days=60)


def test_an_alert_under_one_mark_is_raised_once() -> None:
    on = trading.ledger()
    context = MemoryContext(on, CONSORTIUM, "credit")
    said: dict[str, Any] = {"rule": "SILENT", "text": "x", "enterprise": "supplier", "to": ["erp", "", "erp"]}
    assert alerts.raise_alert(context, **said, mark=[1]) == 0
    assert alerts.raise_alert(context, **said, mark=[1]) is None
    assert alerts.raise_alert(context, **said, mark=[2]) == 1
    assert [event["to"] for _, event in context.events] == [["erp"], ["erp"]]


def test_an_upheld_dispute_makes_a_bill_false_and_is_told() -> None:
    on = trading.ledger()
    story(on)
    context = MemoryContext(on, CONSORTIUM, "credit")
    disputes.store(context, "invoice", "party supplier", "I-1", {"status": disputes.UPHELD})
    book.touch(context, "erp", ("invoice", SUPPLIER, "I-1"))
    book.run(context, Reader(context))
    assert [event["rule"] for name, event in context.events if name == "alert"] == ["DISPUTE_UPHELD"]
    verdict = book.verdict_of(context, "erp", ("invoice", SUPPLIER, "I-1"))
    assert verdict is not None
    assert verdict["status"] == "contradicted"


def test_an_honest_correction_does_not_make_the_first_bill_the_copy() -> None:
    """Who sealed a bill first stays first, whatever it corrects later."""
    on = trading.ledger()
    story(on)
    on.next_block()
    copied = trading.invoice(source=["other", "other", "1", bytes(32), 5])
    seal(on, "erp-two", copied)
    on.next_block()
    assert [alert["chain"] for alert in told(on, "DUPLICATE")] == ["erp-two"]
    on.next_block()
    corrected = trading.invoice(fields={"due_date": "2026-01-31"}, corrects=record_id(trading.invoice()))
    seal(on, "erp", corrected)
    on.next_block()
    assert [alert["chain"] for alert in told(on, "DUPLICATE")] == ["erp-two"]
    key = ("invoice", SUPPLIER, "I-1")
    context = MemoryContext(on, CONSORTIUM, "credit")
    verdict = book.verdict_of(context, "erp-two", key)
    assert verdict is not None
    assert verdict["status"] == "duplicate"
