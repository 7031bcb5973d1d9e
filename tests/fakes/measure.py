"""Runs histories through the real contracts and counts: fakes noticed, clean papers that an alert names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.small_consortium import submit
from tests.fakes.planted import PLANTS
from tests.fakes.world import FIRST_DAY, LAST_DAY, Paper, World

DAY_MS = 86_400_000

# Rules that speak of each kind: a clean bill that one of them names is a false alarm of that kind.
RULES: dict[str, tuple[str, ...]] = {
    "altered amount": ("AMOUNT", "AMOUNT_SUM", "NET_SUM", "ARITHMETIC", "PRICE", "CURRENCY", "IMPLAUSIBLE"),
    "altered quantity": (
        "QUANTITY_ORDERED",
        "QUANTITY_DESPATCHED",
        "QUANTITY_RECEIVED",
        "QUANTITY_NAMED",
        "RECEIVED_DESPATCHED",
        "ITEM",
    ),
    "duplicate": ("DUPLICATE", "COPIES_DIFFER", "LIKELY_DUPLICATE"),
    "phantom delivery": ("PHANTOM", "CANCELLED"),
    "backdated bill": ("BACKDATED", "DATE"),
    "circular trade": ("CIRCULAR_TRADE",),
}


class Alert(NamedTuple):
    """One alert: its rule, the paper it is about, all papers it names, and when it was raised."""

    rule: str
    about: bytes
    named: frozenset[bytes]
    day: int


class Score(NamedTuple):
    """Of one kind: fakes planted, caught, days from the last false paper to the alert; clean bills, false alarms."""

    planted: int
    caught: int
    days: tuple[int, ...]
    clean: int
    false_alarms: int

    @property
    def caught_share(self) -> float:
        return self.caught / self.planted

    @property
    def false_share(self) -> float:
        return self.false_alarms / self.clean


def measure(histories: int, seed: int = 1, *, sellers: int = 3, trades: int = 14) -> dict[str, Score]:
    """So many clean histories, and as many of each kind with one fake in it."""
    clean = 0
    false: dict[str, int] = dict.fromkeys(PLANTS, 0)
    for n in range(histories):
        world = World(seed * 1_000_003 + n, sellers, trades)
        bills = {paper.id for paper in world.papers if paper.kind == "invoice"}
        clean += len(bills)
        alerts = run(world)
        for kind, rules in RULES.items():
            false[kind] += len({alert.about for alert in alerts if alert.rule in rules} & bills)
        unknown = {alert.rule for alert in alerts} - {rule for rules in RULES.values() for rule in rules}
        assert not unknown, f"rules of no kind: {unknown}"
    scores = {}
    for position, (kind, plant) in enumerate(PLANTS.items()):
        days = []
        for n in range(histories):
            world = World(seed * 1_000_003 + 500_000 + position * 50_000 + n, sellers, trades)
            fakes = plant(world)
            day = caught_on(run(world), fakes)
            if day is not None:
                days.append(day - max(paper.day for paper in fakes))
        scores[kind] = Score(histories, len(days), tuple(days), clean, false[kind])
    return scores


def caught_on(alerts: Iterable[Alert], fakes: list[Paper]) -> int | None:
    """The day of the first alert that names a false paper."""
    false = {paper.id for paper in fakes}
    return min((alert.day for alert in alerts if alert.named & false), default=None)


def run(world: World) -> list[Alert]:
    """Seal a history day by day; gives every alert.

    On a real chain the hook of a block sees the papers of that block; here the next block does, 1 ms later.
    """
    on = start(world)
    by_day: dict[int, list[Paper]] = {}
    for paper in world.papers:
        by_day.setdefault(paper.day, []).append(paper)
    for day in range(LAST_DAY + 1):
        on.next_block(time=(FIRST_DAY + day + 1) * DAY_MS + 1)
        for paper in by_day.get(day, []):
            trading.ok(submit(on, [paper.data], chain=paper.chain))
        for when, paper in world.confirmed:
            if when == day and paper.day < day:
                trading.confirm(on, paper.data, paper_buyer(paper))
        on.next_block(after_ms=1)
    count = on.read(CONSORTIUM, "credit", "alert_count") or 0
    return [_alert(on.read(CONSORTIUM, "credit", "alert", n)) for n in range(count)]


def start(world: World) -> Ledger:
    """A consortium that has onboarded the sellers and the buyers that are registered."""
    on = trading.ledger(register=False)
    names = dict.fromkeys([*(seller.name for seller in world.sellers), *world.buyers])
    for name in names:
        if name not in world.unregistered:
            args = {"id": f"party {name}", "name": name, "identifiers": [name], "keys": [key(name)]}
            trading.ok(on.call(CONSORTIUM, "registry.register_party", args, [key("procurement")]))
    return on


def paper_buyer(paper: Paper) -> str:
    counterparty: Any = trading.decode_record(paper.data)[6]
    return str(counterparty)


def _alert(entry: dict[str, Any]) -> Alert:
    day = entry["time"] // DAY_MS - FIRST_DAY - 1
    return Alert(entry["rule"], entry["id"], frozenset([entry["id"], *entry["evidence"]]), day)
