"""Prometheus text for ``/metrics``: what an operator watches."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from node.anchor_gauges import add_anchor_gauges
from node.custody.gauges import add_custody_gauges

if TYPE_CHECKING:
    from node.peer import Peer


def metrics_text(peer: Peer) -> str:
    """The current values; made anew at each scrape, so nothing can go stale."""
    registry = CollectorRegistry()
    ledger, stats = peer.ledger, peer.network.stats()
    hooks = peer.webhooks.workers
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values: dict[str, tuple[str, float]] = {
        "tally_height": ("Height of the newest committed block", ledger.height),
        "tally_head_time_seconds": ("Block time of the head, Unix seconds", ledger.head.time / 1000),
        "tally_connected_peers": ("Members a link stands to", len(peer.network.connected())),
        "tally_followers": ("Members without a vote that are sent blocks", len(peer.feeder.followers)),
        "tally_pending_transactions": ("Transactions that wait", len(peer.mempool)),
        "tally_pending_bytes": ("Bytes of transactions that wait", peer.mempool.size),
        "tally_denied_strangers_total": ("Connections refused to strangers", stats.denied),
        "tally_malformed_messages_total": ("Malformed messages from members", peer.malformed),
        "tally_evidence_total": ("Conflicting signatures kept as evidence (R13)", peer.driver.evidence),
        "tally_webhook_deliveries_total": ("Notices that receivers took", sum(w.delivered for w in hooks)),
        "tally_webhook_failures_total": ("Attempts that receivers did not take", sum(w.failed for w in hooks)),
        "tally_webhooks_failing": ("Webhooks whose newest attempt failed", sum(bool(w.failing) for w in hooks)),
        "tally_partial_serving_seconds_total": ("CPU time that partial observers took here", peer.parts.seconds),
        "tally_cpu_seconds_total": ("CPU time of the process", usage.ru_utime + usage.ru_stime),
        "tally_max_rss_bytes": ("Most resident memory", usage.ru_maxrss * 1024),
    }
    for name, (text, value) in values.items():
        Gauge(name, text, registry=registry).set(value)
    _add_intake(registry, peer)
    add_custody_gauges(registry, peer.custody)
    add_anchor_gauges(registry, ledger, peer.member, peer.anchorer)
    return generate_latest(registry).decode()


_INTAKE = {
    "files": ("tally_intake_files_total", "Files whose every record is sealed, known or corrected"),
    "files_refused": ("tally_intake_files_refused_total", "Files of which something was refused"),
    "sealed": ("tally_intake_records_sealed_total", "Records sealed"),
    "known": ("tally_intake_records_known_total", "Records that were sealed already"),
    "corrected": ("tally_intake_records_corrected_total", "Corrections sealed"),
    "records_refused": ("tally_intake_records_refused_total", "Records refused"),
    "backlog": ("tally_intake_backlog", "Files and jobs that wait"),
}


def _add_intake(registry: CollectorRegistry, peer: Peer) -> None:
    """Connected systems, by way in: since the process that takes documents in was started."""
    status = peer.intake.status()
    if status is None:
        return
    for counted, (name, text) in _INTAKE.items():
        gauge = Gauge(name, text, ["way"], registry=registry)
        for way, found in status["ways"].items():
            gauge.labels(way).set(found.get(counted, 0))
    failing = sum(bool(found["problem"]) for found in status["ways"].values())
    Gauge("tally_intake_failing", "Ways in whose newest attempt failed", registry=registry).set(failing)
    Gauge("tally_intake_starts_total", "Starts of the process that takes documents in", registry=registry).set(
        status["starts"]
    )
