"""The HTTP API of a partial observer: the routes of ``node/api.py`` that a partial ledger can answer.

What it does not follow is refused with NOT_FOLLOWED; what only a full node does (custody, connectors, anchors) has no
route here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from node.api import add_errors, add_ledger, add_proofs, add_transactions
from node.driver import wall_clock
from node.headers_api import add_headers
from node.inbox import add_inbox
from node.views import hexed

if TYPE_CHECKING:
    from node.partial.peer import PartialPeer
    from node.peer import Peer


def make_partial_api(partial: PartialPeer) -> FastAPI:
    """The application for one partial observer."""
    app = FastAPI(title="Tallystick partial observer", version="1", docs_url=None, redoc_url=None)
    peer = cast("Peer", partial)  # what these routes use of a peer (view, view_above, in_loop, …) it has by name
    add_errors(app)
    _add_status(app, partial)
    add_transactions(app, peer)
    add_ledger(app, peer)
    add_proofs(app, peer)
    add_inbox(app, peer)
    add_headers(app, peer)
    return app


def _add_status(app: FastAPI, peer: PartialPeer) -> None:
    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Where this node stands, and what it has of each chain. Time in ms."""
        found: dict[str, Any] = await peer.in_loop(status_view, peer)
        return found

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Prometheus text."""
        found: str = await peer.in_loop(metrics_text, peer)
        return found


def status_view(peer: PartialPeer) -> dict[str, Any]:
    """As of a full node, and ``chains``: how each is followed; ``faults``: what nodes sent that did not stand."""
    ledger, stats = peer.ledger, peer.network.stats()
    validators = ledger.validators()
    return {
        "network_id": ledger.network_id.hex(),
        "member": peer.member,
        "height": ledger.height,
        "head": ledger.head.digest.hex(),
        "time": ledger.head.time,
        "clock": wall_clock(),
        "epoch": validators.epoch,
        "validators": list(validators.ids),
        "validator": False,
        "voted_height": 0,
        "connected": sorted(peer.network.connected()),
        "pending": len(peer.mempool),
        "denied_strangers": stats.denied,
        "malformed": peer.malformed,
        "evidence": 0,
        "intake": None,
        "following": {
            "standing": peer.membership.standing(peer.member),
            "from": peer.follower.asked,
            "refused": None,
            "followers": [],
        },
        "parameters": hexed(dict(ledger.parameters)),
        "chains": chains_view(peer),
        "faults": {member: dict(counts) for member, counts in sorted(peer.follower.faults.items())},
    }


def chains_view(peer: PartialPeer) -> list[dict[str, Any]]:
    """Of each chain, the consortium's first: "executed" up to which block, "checked" or "headers only"."""
    ledger = peer.ledger
    consortium = {
        "chain": "consortium", "mode": "checked against the roots, not executed", "height": ledger.height,
    }  # fmt: skip
    found: list[dict[str, Any]] = [consortium]
    for chain in ledger.chains:
        head = ledger.newest(chain)
        row: dict[str, Any] = {"chain": chain, "mode": "headers only", "height": head.height}
        if chain in ledger.follow:
            row |= {
                "mode": "executed",
                "executed": ledger.executed(chain).own,
                "executed_up_to": ledger.executed_up_to(chain),
                "refused": peer.follower.refused.get(chain),
            }
        found.append(row)
    found += [{"chain": chain, "mode": "not there yet"} for chain in ledger.follow if chain not in ledger.chains]
    return found


def metrics_text(peer: PartialPeer) -> str:
    """Prometheus text: heights, executed heights by chain, faults of others."""
    lines = [
        "# TYPE tally_height gauge",
        f"tally_height {peer.ledger.height}",
        "# TYPE tally_connected_peers gauge",
        f"tally_connected_peers {len(peer.network.connected())}",
        "# TYPE tally_executed_height gauge",
        *(
            f'tally_executed_height{{chain="{chain}"}} {peer.ledger.executed_up_to(chain)}'
            for chain in peer.ledger.follow
        ),
        "# TYPE tally_faults_of_others_total counter",
        *(
            f'tally_faults_of_others_total{{member="{member}",code="{code}"}} {count}'
            for member, counts in sorted(peer.follower.faults.items())
            for code, count in sorted(counts.items())
        ),
    ]
    return "\n".join(lines) + "\n"
