"""A line's state equals a replay of everything that happened, from scratch, after every step of random histories.

The replay below is written from docs/lending.md with rational numbers and plain lists; it shares nothing with the
contracts. Steps: progress that rises, falls and rises again, contract corrections both ways, periods with and without
records, payments out with schedules of their own, repayments in any amount, days that pass beyond due days.
"""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import L0, day_of, line_of
from tests.contracts.memory_context import CONSORTIUM, Ledger
from tests.contracts.trading import BUYER, DAY, ok, seal

NET = 10_000_000
GRACE = 3 * DAY
WEIGHTS = {"despatched": 1, "received": 3}
SHARES = {"despatched": Fraction(1, 2), "received": Fraction(9, 10)}


class Reached(NamedTuple):
    """The book judged: minor units despatched and received; C' as the contract says now."""

    despatched: int
    received: int
    net: int


class Closed(NamedTuple):
    """A period ended with this credibility, None without records."""

    credibility: Fraction | None


class PaidOut(NamedTuple):
    """The lender paid out against instalments of [deadline ms, principal, interest]."""

    instalments: tuple[tuple[int, int, int], ...]


class Repaid(NamedTuple):
    """The lender was paid."""

    amount: int


Event = Reached | Closed | PaidOut | Repaid


def replayed(events: list[Event], now: int) -> dict[str, Any]:
    """Everything that matters of a line, from its whole history."""
    found = _owed(events)
    granted, m = _granted(events)
    unpaid = [row for row in found["rows"] if row["principal"] + row["interest"] > 0]
    return {
        "grants": granted,
        "M": m,
        "outstanding": found["out"] - found["back"],
        "drawn": found["out"],
        "repaid": found["back"],
        "owed": [[row["deadline"], row["principal"], row["interest"]] for row in unpaid],
        "overdue": any(row["deadline"] <= now for row in unpaid),
    }


def _owed(events: list[Event]) -> dict[str, Any]:
    rows: list[dict[str, int]] = []
    out = back = 0
    for event in events:
        if isinstance(event, PaidOut):
            for deadline, principal, interest in event.instalments:
                rows.append({"deadline": deadline, "principal": principal, "interest": interest})
                out += principal
            rows.sort(key=lambda row: row["deadline"])
        elif isinstance(event, Repaid):
            left = event.amount
            for row in rows:
                for part in ("interest", "principal"):
                    paid = min(left, row[part])
                    row[part] -= paid
                    left -= paid
                    back += paid if part == "principal" else 0
    return {"rows": rows, "out": out, "back": back}


def _granted(events: list[Event]) -> tuple[dict[str, int | None], int]:
    m = NET - L0
    held: dict[str, Fraction] = {}
    now = Reached(0, 0, NET)
    for event in events:
        if isinstance(event, PaidOut | Repaid):
            continue
        if isinstance(event, Reached):
            now = event
        standing = {
            name
            for name, value in (("despatched", now.despatched), ("received", now.received))
            if now.net > 0 and value >= SHARES[name] * now.net
        }
        held = {name: credibility for name, credibility in held.items() if name in standing}
        ceiling = max(0, min(now.net, NET) - L0)
        m = ceiling if isinstance(event, Closed) else min(m, ceiling)
        if isinstance(event, Closed) and event.credibility is not None:
            held |= {name: event.credibility for name in standing if name not in held}
    shares = {name: Fraction(weight, sum(WEIGHTS.values())) for name, weight in WEIGHTS.items()}
    return {name: math.floor(m * shares[name] * held[name]) if name in held else None for name in WEIGHTS}, m


def stored(on: Ledger, application: bytes) -> dict[str, Any]:
    """The same, as the contracts hold it."""
    line = line_of(on, application)
    rows = on.read(CONSORTIUM, "credit", "schedule", application) or []
    place = ("contract", f"identifier {BUYER}", "C-1")
    if on.read(CONSORTIUM, "registry", "identifier", BUYER):
        place = ("contract", "party buyer", "C-1")
    assert (on.read(CONSORTIUM, "credit", "lent", *place) or 0) == line["outstanding"]
    assert on.read(CONSORTIUM, "credit", "approved", *place) == line["approved"] - line["repaid"]
    grants = {row["id"]: row["granted"] for row in line["milestones"]}
    assert line["granted"] == sum(value or 0 for value in grants.values())
    assert 0 <= line["granted"] <= line["M"] <= NET - L0
    room = at.room_of(on, application)
    overdue = line["state"] == "overdue"
    expected = 0 if overdue else max(0, min(room.limit, room.base) - line["outstanding"])
    assert (room.limit, room.available) == (L0 + line["granted"], expected)
    return {
        "grants": grants,
        "M": line["M"],
        "outstanding": line["outstanding"],
        "drawn": line["drawn"],
        "repaid": line["repaid"],
        "owed": [[row[1], row[3] - row[5], row[4] - row[6]] for row in rows],
        "overdue": overdue,
    }


class Story:
    """One random history on a ledger of its own, and the list of what happened in it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.on = at.desk()
        self.application = at.opened(self.on)
        self.events: list[Event] = []
        self.now = Reached(0, 0, NET)
        self.papers = 100
        self.records: list[bool] = []  # of the open period: whether all fields were there
        self.period: int = self.on.read(CONSORTIUM, "credit", "period")["number"]

    def step(self) -> None:
        """One thing happens; both sides are compared."""
        self.papers += 1
        moves = (
            self.progress,
            self.progress,
            self.correct,
            self.record,
            self.wait,
            self.wait,
            self.pay_out,
            self.repay,
        )
        self.chance.choice(moves)()
        assert stored(self.on, self.application) == replayed(self.events, self.on.time), self.events

    def progress(self) -> None:
        despatched, received = (
            self.chance.choice((0, 4_999_999, 5_000_000, 9_000_000, 10_000_000)) for _ in range(2)
        )
        self._judged(self.now._replace(despatched=despatched, received=received))

    def correct(self) -> None:
        net = self.chance.choice((0, 1_500_000, 6_000_000, NET, 30_000_000))
        known = self.on.read("procurement", "records", "record", "contract", BUYER, "C-1")["id"]
        said = {**trading.decode_record(trading.contract())[12], "value": at.decimal(net + 2_000_000)}
        said["title"] = f"Version {self.papers}"
        changes = {"occurred_at": "2025-11-30", "corrects": known}
        seal(self.on, "procurement", trading.paper("contract", "C-1", BUYER, said, **changes))
        self._judged(self.now._replace(net=net))

    def record(self) -> None:
        full = self.chance.random() < 0.5
        for _ in range(2):  # what is sealed in the block that closes a period still belongs to that one
            self._block(1_000)
        at.activity(self.on, f"E-{self.papers}", full=full, in_new_block=False)
        self.records.append(full)

    def wait(self) -> None:
        self._block(self.chance.choice((1_000, DAY, 4 * DAY, 11 * DAY)))

    def pay_out(self) -> None:
        left = self.on.read(CONSORTIUM, "credit", "application", self.application)
        most = min(left["approved"] - left["disbursed"], at.room_of(self.on, self.application).available)
        if most < 4:
            return
        amount = self.chance.randrange(4, most + 1)
        number = f"L-{self.papers}"
        at.loan(self.on, amount, number, disbursed_on=day_of(self.on))
        start = self.on.time // DAY
        dues = sorted(self.chance.sample(range(25), k=self.chance.choice((1, 2))))
        parts = [amount] if len(dues) == 1 else [amount // 3, amount - amount // 3]
        plan = [(start + due, part, self.chance.randrange(9)) for due, part in zip(dues, parts, strict=True)]
        rows = [{"due": _day(due), "principal": part, "interest": interest} for due, part, interest in plan]
        ok(at.disburse(self.on, self.application, number, schedule=rows))
        self.events.append(PaidOut(tuple(((due + 1) * DAY + GRACE, part, rate) for due, part, rate in plan)))

    def extend(self) -> None:
        line = line_of(self.on, self.application)
        if line["state"] != "open":
            return
        most = line["L0"] + line["granted"] - (line["approved"] - line["repaid"])
        if most > 0:
            amount = self.chance.randint(1, most)
            at.loan(self.on, amount, f"X-{self.papers}")
            ok(at.extend(self.on, self.application, amount, f"X-{self.papers}"))

    def repay(self) -> None:
        rows = self.on.read(CONSORTIUM, "credit", "schedule", self.application) or []
        owed = sum(row[3] + row[4] - row[5] - row[6] for row in rows)
        if not owed:
            return
        amount = owed if self.chance.random() < 0.3 else self.chance.randint(1, owed)
        ok(at.repay(self.on, self.application, amount, f"P-{self.papers}"))
        self.events.append(Repaid(amount))

    def _judged(self, now: Reached) -> None:
        self.now = self.now._replace(net=now.net)  # a contract that was corrected is seen in the next block already
        self._block(1_000)
        self.now = now
        at.reach(self.on, despatched=now.despatched, received=now.received)
        at.judge(self.on)
        self.events.append(now)

    def _block(self, after_ms: int) -> None:
        self.on.next_block(after_ms=after_ms)
        period = self.on.read(CONSORTIUM, "credit", "period")["number"]
        self.events.append(self.now)
        if period != self.period:
            self.period = period
            share = Fraction(sum(5 if full else 3 for full in self.records), max(1, 5 * len(self.records)))
            credibility = Fraction(math.floor(share * 10_000), 10_000) if self.records else None
            self.events.append(Closed(credibility))
            self.records = []


def _day(number: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(number * DAY // 1_000, UTC).strftime("%Y-%m-%d")


@pytest.mark.parametrize("seed", range(12))
def test_a_line_equals_a_full_replay_after_every_step(seed: int) -> None:
    story = Story(seed)
    for _ in range(40):
        story.step()
    kinds = {type(event) for event in story.events}
    assert {Reached, Closed} <= kinds
