"""Anchoring's share of ``/metrics``: how old the newest anchor of each class is, and what keeps one back."""

from __future__ import annotations

from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from chain.ledger import Ledger
from node.anchor_duty import standing
from node.anchor_ledger import reader
from node.anchoring import Anchorer
from node.driver import wall_clock

_BACKEND: Final = {
    "confirmed": ("tally_anchor_backend_blocks", "Blocks confirmed at a backend's place"),
    "under_way": ("tally_anchor_under_way", "Anchors on their way at a backend"),
    "failing": ("tally_anchor_failing", "1 where something keeps a backend back"),
}


def add_anchor_gauges(registry: CollectorRegistry, ledger: Ledger, member: str, anchorer: Anchorer | None) -> None:
    """The current values. Age and alarms are the consortium's, told by every node, whether or not it anchors."""
    read = reader(ledger)
    view, now = standing(read, member), wall_clock()
    begun = ledger.header(0).time
    text = "Since the newest anchor of a class was confirmed, or genesis"
    ages = Gauge("tally_anchor_age_seconds", text, ["class"], registry=registry)
    text = "Blocks that as many places of a class as needed have"
    blocks = Gauge("tally_anchor_blocks", text, ["class"], registry=registry)
    for group, reached in view.classes.items():
        ages.labels(group).set(max(0, now - (reached.time or begun)) / 1000)
        blocks.labels(group).set(reached.size)
    alarms: Any = read("anchor", "alarm_count") or 0
    Gauge("tally_anchor_alarms_total", "Alarms about heads and anchors", registry=registry).set(alarms)
    if anchorer is None:
        return
    status = anchorer.status()
    for name, text in (("mismatches", "Confirmations found wrong here"), ("unchecked", "Confirmations to re-check")):
        Gauge(f"tally_anchor_{name}", text, registry=registry).set(status[name])
    gauges = {name: Gauge(*named, ["backend"], registry=registry) for name, named in _BACKEND.items()}
    for row in status["backends"]:
        found = {"confirmed": row["confirmed"], "under_way": len(row["queue"]), "failing": bool(row["problem"])}
        for name, gauge in gauges.items():
            gauge.labels(row["backend"]).set(found[name])
