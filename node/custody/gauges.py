"""Custody's share of ``/metrics``: what an operator is woken for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Gauge

if TYPE_CHECKING:
    from node.custody.service import Custody

_OWNER: Final = {
    "deposits": "Own deposits of documents on the chain",
    "waiting": "Own deposits on their way to the chain",
    "to_restore": "Own deposits that are not in this vault",
}
_KEPT: Final = {
    "here": "Deposits of a chain whose copies are here",
    "to_pull": "Deposits of a chain that are to be taken",
    "substitutes": "Deposits of a chain of which another custodian's copies are here",
}


def add_custody_gauges(registry: CollectorRegistry, custody: Custody) -> None:
    """The current values."""
    status = custody.status()
    for name in ("bytes_in", "bytes_out", "refused"):
        text = f"Custody since the start: {name.replace('_', ' ')}"
        Gauge(f"tally_custody_{name}_total", text, registry=registry).set(status[name])
    if status["owner"] is not None:
        for name, text in _OWNER.items():
            Gauge(f"tally_custody_own_{name}", text, registry=registry).set(status["owner"][name])
        _add_custodians(registry, status["owner"]["custodians"])
    if status["custodian"] is not None:
        paused = bool(status["custodian"]["paused"])
        Gauge("tally_custody_paused", "1 while the store takes no copies", registry=registry).set(paused)
        for name, text in _KEPT.items():
            gauge = Gauge(f"tally_custody_{name}", text, ["chain"], registry=registry)
            for chain, row in status["custodian"]["chains"].items():
                gauge.labels(chain).set(row[name])


def _add_custodians(registry: CollectorRegistry, custodians: dict[str, Any]) -> None:
    held = Gauge(
        "tally_custody_own_held", "Own deposits that a custodian says it holds", ["custodian"], registry=registry
    )
    failing = Gauge(
        "tally_custody_own_failing", "1 where its newest challenge failed", ["custodian"], registry=registry
    )
    for custodian, row in custodians.items():
        held.labels(custodian).set(row["held"])
        failing.labels(custodian).set(bool(row["challenges"] and row["challenges"]["failing"]))
