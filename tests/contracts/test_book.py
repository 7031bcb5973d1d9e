"""The book kept paper by paper equals the book recomputed from every record, whatever happened in between."""

from __future__ import annotations

import random
from typing import Any

import pytest

from contracts import book, disputes, trades
from contracts.documents import party_key
from contracts.evidence import Reader
from contracts.truth import INELIGIBLE
from tests.contracts import full_replay, trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, key
from tests.contracts.small_consortium import record_id, submit
from tests.contracts.trading import BUYER, SUPPLIER, decode_record, ok

LATER = "VAT:77"  # the supplier's other identifier, registered on the way
STRANGER = "GB-COH:9"  # another supplier, onboarded on the way
OTHER = "GB-COH:8"  # one that is registered from the start
HOLDERS = {
    "order": "procurement",
    "order_cancellation": "procurement",
    "receipt": "procurement",
    "return": "procurement",
    "remittance": "lender",
}
KINDS = ("order", "order_response", "order_cancellation", "despatch", "receipt", "return", "invoice", "credit_note")
LINKED = {
    "order_response": ("order",),
    "order_cancellation": ("order",),
    "despatch": ("order",),
    "receipt": ("despatch", "order"),
    "return": ("receipt", "order"),
    "invoice": ("order", "despatch", "receipt"),
    "credit_note": ("invoice",),
    "remittance": ("invoice", "credit_note"),
}
SELLERS = (SUPPLIER, SUPPLIER, LATER, STRANGER, OTHER)


class History:
    """Random steps on a ledger; the same seed takes the same steps, whatever the bounds."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = self._random.choice((4, 9, 20))  # few: everything hangs together; many: small trades
        self.on = trading.ledger()
        self._register("other", [OTHER])
        self._sealed: list[tuple[str, bytes]] = []
        self._left = ["claim", "onboard"]

    def step(self) -> None:
        """One thing that may happen."""
        do = self._random.choices(
            (self._new, self._correct, self._copy, self._confirm, self._dispute, self._claim),
            (12, 4, 2, 1, 1, 1),
        )[0]
        do()

    def settle(self) -> None:
        """Blocks until nothing is pending."""
        for _ in range(400):
            self.on.next_block()
            if not self._is_pending():
                return
        raise AssertionError("the queue never ended")

    def _is_pending(self) -> bool:
        on = self.on
        seen = [on.read(CONSORTIUM, "credit", "log_seen", chain) or [0, 0] for chain in trading.MEMBERS]
        ends = [on.read(chain, "records", "log_count") or 0 for chain in trading.MEMBERS]
        claims = (on.read(CONSORTIUM, "credit", "claims_seen") or [0, 0])[0]
        taken_in = [page for page, _ in seen] == ends and claims == on.read(CONSORTIUM, "registry", "claim_count")
        return not taken_in or on.read(CONSORTIUM, "credit", "pending") is not None

    def _new(self, kind: str = "", corrects: bytes | None = None, number: str = "", by: str = "") -> None:
        pick = self._random
        kind = kind or pick.choice((*KINDS, "invoice", "remittance"))
        seller = pick.choice(SELLERS)
        data = self._paper(kind, number or f"{pick.randint(1, self._numbers)}", by or seller, corrects)
        self._seal(HOLDERS.get(kind, "erp"), data)

    def _paper(self, kind: str, number: str, seller: str, corrects: bytes | None) -> bytes:
        pick = self._random
        quantity = pick.choice(("10", "10", "10", "4", "15"))
        money = f"{int(quantity) * 10}.00"
        fields: dict[str, Any] = {"issue_date": f"2025-12-{pick.randint(10, 12)}"}
        if kind not in ("order_cancellation",):
            fields["lines"] = [trading.line(quantity, "10.00", money)]
        if kind in ("order", "invoice", "credit_note", "remittance"):
            fields |= {"currency": pick.choice(("GBP", "GBP", "GBP", "EUR")), "total": money}
        if kind == "remittance":
            fields["lines"] = [trading.line("", "", "40.00", item=str(n)) for n in (1, 2)]
        if kind == "order_response":
            fields["accepted"] = pick.choice(("true", "false"))
        issuer = BUYER if kind in HOLDERS else seller
        linked = []
        for relation in LINKED.get(kind, ()):
            if pick.random() < 0.6:
                named = pick.choice(("", BUYER if relation in HOLDERS else seller))
                linked.append((relation, named, str(pick.randint(1, self._numbers))))
        if kind == "remittance":
            linked.append(("invoice", "", str(pick.randint(1, self._numbers))))
        if kind == "order" and pick.random() < 0.6:
            linked.append(("contract", pick.choice(("", BUYER)), "C-1"))
        return trading.paper(
            kind,
            number,
            issuer,
            fields,
            sorted({tuple(link) for link in linked}),
            enterprise=seller,
            occurred_at=fields["issue_date"],
            corrects=corrects,
        )

    def _correct(self) -> None:
        if not self._sealed:
            return
        chain, data = self._random.choice(self._sealed)
        array = decode_record(data)
        entry = self.on.read(chain, "records", "record", *array[2:5])
        changed = self._paper(array[2], array[4], array[5], entry["id"])
        if decode_record(changed)[3] == array[3]:
            self._seal(chain, changed)

    def _copy(self) -> None:
        """A bill again on another member's chain: as it is, altered, or as another enterprise's."""
        bills = [data for chain, data in self._sealed if chain == "erp" and decode_record(data)[2] == "invoice"]
        if not bills:
            return
        array = decode_record(self._random.choice(bills))
        how = self._random.randint(0, 2)
        fields = {**array[12], "total": "99.00"} if how == 1 else array[12]
        enterprise = OTHER if how == 2 else array[5]
        copy = trading.paper(
            array[2], array[4], array[3], fields, array[10], enterprise=enterprise, occurred_at=array[9]
        )
        self._seal("erp-two", copy)

    def _confirm(self) -> None:
        bills = [data for _, data in self._sealed if decode_record(data)[2] == "invoice"]
        if bills:
            trading.confirm(self.on, self._random.choice(bills), "buyer")

    def _dispute(self) -> None:
        bills = [(chain, data) for chain, data in self._sealed if decode_record(data)[2] == "invoice"]
        if not bills:
            return
        chain, data = self._random.choice(bills)
        status = self._random.choice((disputes.OPEN, disputes.UPHELD, disputes.DISMISSED))
        kind, issuer, number = decode_record(data)[2:5]
        context = MemoryContext(self.on, CONSORTIUM, "credit")
        party = party_key(issuer, Reader(context).party_of)
        disputes.store(context, kind, party, number, {"status": status})
        book.touch(context, chain, (kind, issuer, number))
        self.on.state[CONSORTIUM].update({k: v for k, v in context.writes.items() if v is not None})

    def _claim(self) -> None:
        if not self._left:
            return
        if self._left.pop() == "onboard":
            self._register("stranger", [STRANGER])
        else:
            args = {"party": "supplier", "identifiers": [LATER]}
            ok(self.on.call(CONSORTIUM, "registry.add_identifiers", args, [key("procurement")]))

    def _register(self, party: str, identifiers: list[str]) -> None:
        args = {"id": party, "name": party, "identifiers": identifiers}
        ok(self.on.call(CONSORTIUM, "registry.register_party", args, [key("procurement")]))

    def _seal(self, chain: str, data: bytes) -> None:
        """What the records contract refuses (other content without a correction) does not happen."""
        if submit(self.on, [data], chain=chain).ok:
            self._sealed.append((chain, data))


def check(on: Ledger) -> None:
    assert full_replay.stored(on) == full_replay.replayed(on)
    reader = trading.reader(on)
    context = MemoryContext(on, CONSORTIUM, "credit")
    for name in (SUPPLIER, STRANGER, OTHER):
        enterprise = reader.universe(name)
        false = full_replay.listed(on, enterprise.identifiers, INELIGIBLE)
        doubtful = full_replay.listed(on, enterprise.identifiers, ("unmatched", "partial"))
        assert set(book.false_bills(context, enterprise)) == false
        assert set(book.doubtful_bills(context, enterprise)) <= doubtful
        assert len(book.doubtful_bills(context, enterprise)) == min(len(doubtful), 8)


def walk(seed: int, steps: int) -> None:
    history = History(seed)
    for _ in range(steps):
        history.step()
        history.settle()
        check(history.on)


@pytest.mark.parametrize("seed", range(3))
def test_after_every_step_the_book_equals_a_full_replay(seed: int) -> None:
    walk(seed, 20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_after_every_step_of_longer_histories_the_book_equals_a_full_replay(seed: int) -> None:
    walk(seed, 45)


@pytest.mark.parametrize("seed", range(2))
def test_a_trade_that_grows_too_large_and_shrinks_again_is_judged_as_it_stands(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "MAX_PAPERS", 4)
    walk(seed + 1_000, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 207))
def test_trades_of_longer_histories_grow_too_large_and_shrink_again(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "MAX_PAPERS", 5)
    walk(seed, 45)


def cut(seed: int, steps: int, bounds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """One block a step; once with room for all, once with hardly any, so that papers are judged blocks later."""

    def told() -> dict[tuple[Any, ...], Any]:
        history = History(seed)
        for _ in range(steps):
            history.step()
            history.on.next_block()
        history.settle()
        check(history.on)
        return full_replay.stored(history.on)

    wide = told()
    for name, bound in zip(("PAPERS_PER_BLOCK", "READS_PER_BLOCK", "CLAIMED_PER_BLOCK"), bounds, strict=True):
        monkeypatch.setattr(book, name, bound)
    assert told() == wide


def test_the_book_is_the_same_however_little_fits_into_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    cut(2_000, 40, (1, 1, 1), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_longer_histories_end_in_the_same_book_however_little_fits_into_a_block(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(2_100 + seed, 70, (1 + seed % 3, 1 + seed % 5, 1), monkeypatch)


# what random steps seldom meet -----------------------------------------------------------------------------------


def status(on: Ledger, number: str = "I-1") -> str:
    found = on.read(CONSORTIUM, "credit", "verdict", "erp", "invoice", SUPPLIER, number)
    return str(found["status"])


def told(on: Ledger, chain: str, *papers: bytes) -> None:
    trading.seal(on, chain, *papers)
    on.next_block()
    check(on)


def test_a_receipt_that_is_corrected_to_another_order_leaves_the_first_without() -> None:
    on = trading.ledger()
    told(on, "procurement", trading.order(), trading.order(number="O-2"))
    told(on, "erp", trading.despatch(), trading.despatch(number="D-2", order_number="O-2"), trading.invoice())
    told(on, "erp", trading.invoice(number="I-2", links=[["order", "", "O-2"]]))
    first = trading.receipt()
    told(on, "procurement", first)
    assert (status(on), status(on, "I-2")) == ("matched", "partial")
    told(on, "procurement", trading.receipt(despatch_number="D-2", corrects=record_id(first)))
    assert (status(on), status(on, "I-2")) == ("partial", "matched")


def test_a_correction_reaches_what_only_the_partys_other_identifier_holds() -> None:
    on = trading.ledger()
    args = {"party": "supplier", "identifiers": [LATER]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("procurement")]))
    told(on, "procurement", trading.order())
    told(on, "erp", trading.despatch(), trading.invoice())
    first = trading.receipt(enterprise=LATER)
    told(on, "procurement", first)
    assert status(on) == "matched"
    told(on, "procurement", trading.receipt(enterprise=LATER, despatch_number="D-9", corrects=record_id(first)))
    assert status(on) == "partial"


def test_two_trades_may_be_joined_beyond_the_bound_and_parted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "MAX_PAPERS", 4)
    on = trading.ledger()
    told(on, "procurement", trading.order(), trading.receipt())
    told(on, "erp", trading.despatch(), trading.invoice(links=[["receipt", "", "R-1"]]))
    told(on, "procurement", trading.order(number="O-2"), trading.receipt(number="R-2", despatch_number="D-2"))
    told(on, "erp", trading.despatch(number="D-2", order_number="O-2"))
    told(on, "erp", trading.invoice(number="I-2", links=[["receipt", "", "R-2"]]))
    both = [["order", BUYER, "O-1"], ["order", BUYER, "O-2"]]
    for _ in range(2):
        assert (status(on), status(on, "I-2")) == ("matched", "matched")
        latest = on.read("erp", "records", "record", "despatch", SUPPLIER, "D-9")
        joining = trading.despatch("0.1", number="D-9", links=both, corrects=latest and latest["id"])
        told(on, "erp", joining)
        assert (status(on), status(on, "I-2")) == ("partial", "partial")
        told(on, "erp", trading.despatch("0.1", number="D-9", order_number="O-9", corrects=record_id(joining)))


def test_a_claimed_identifier_joins_what_was_apart() -> None:
    on = trading.ledger()
    told(on, "procurement", trading.order(enterprise=LATER), trading.receipt())
    told(on, "erp", trading.despatch(), trading.invoice())
    assert status(on) == "unmatched"
    args = {"party": "supplier", "identifiers": [LATER]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("procurement")]))
    on.next_block()
    check(on)
    assert status(on) == "matched"


def test_the_newest_of_many_doubtful_bills_are_listed_and_older_ones_come_back_when_those_are_settled() -> None:
    on = trading.ledger()
    numbers = [f"L-{n:03}" for n in range(150)]
    for number in numbers:
        trading.seal(on, "erp", trading.invoice(number=number, links=[["order", "", f"for {number}"]]))
        on.next_block()

    def listed() -> list[str]:
        context = MemoryContext(on, CONSORTIUM, "credit")
        return [place[3] for place in book.doubtful_bills(context, trading.reader(on).universe(SUPPLIER))]

    assert listed() == numbers[:-9:-1]
    for number in numbers[-3:]:
        told(on, "procurement", trading.order("1", number=f"for {number}"))
    assert listed() == numbers[-4:-9:-1] + numbers[-9:-12:-1]
