"""A consortium of five members for contract tests, a template, and records to submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chain import merkle
from chain.codec import encode
from chain.crypto import sha256
from contracts import anchor, gov, notary, records, registry
from contracts.context import Value
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, Receipt, key

HOUR = 3_600_000
DAY = 24 * HOUR

MEMBERS = {
    "erp": "erp",
    "guarantor": "guarantor",
    "lender": "lender",
    "office": "notary",
    "procurement": "procurement",
}
VALIDATORS = ("erp", "guarantor", "lender", "procurement")
SUPPLIER = "GB-COH:0001"

TEMPLATE: dict[str, Any] = {
    "id": "trade",
    "version": 1,
    "model": "standard",
    "time_zone_minutes": 0,
    "kinds": {
        "contract": {
            "category": "contract",
            "uploaders": ["procurement"],
            "fields": {
                "value": {"type": "money", "weight": 4, "open": True, "required": True, "scale": 2, "min": "0"},
                "title": {"type": "text", "weight": 1, "open": True, "required": False},
            },
        },
        "despatch": {
            "category": "process",
            "uploaders": ["erp"],
            "fields": {
                "issue_date": {"type": "date", "weight": 3, "open": True, "required": True},
                "weight_kg": {"type": "decimal", "weight": 2, "open": True, "scale": 3, "min": "0.5", "max": "100"},
                "boxes": {"type": "integer", "weight": 1, "open": True, "min": "1", "max": "40"},
                "carrier": {"type": "text", "weight": 1, "open": True},
                "driver": {"type": "text", "weight": 1, "open": False},
                "lines": {
                    "type": "lines",
                    "weight": 4,
                    "open": True,
                    "columns": {"quantity": {"min": "1", "max": "1000"}},
                },
            },
        },
        "invoice": {
            "category": "bill",
            "uploaders": ["erp"],
            "fields": {
                "issue_date": {"type": "date", "weight": 3, "open": True, "required": True},
                "currency": {"type": "code", "weight": 1, "open": True},
                "total": {"type": "money", "weight": 4, "open": True, "scale": 2},
            },
        },
    },
}


def document(**changes: Value) -> dict[str, Any]:
    """A genesis document; each member has one signer key "<id>" with all rights and a network key."""
    base: dict[str, Any] = {
        "name": "test",
        "time": START,
        "members": [
            {
                "id": member,
                "role": role,
                "validator": key(f"{member} validator") if member in VALIDATORS else None,
                "network": key(f"{member} network"),
                "signers": [{"key": key(member), "rights": ["*"]}],
            }
            for member, role in sorted(MEMBERS.items())
        ],
        "parties": [{"id": "acme", "name": "Acme", "keys": [key("acme")]}],
        "parameters": {"t0_ms": 1_000, "max_idle_ms": 30_000, "anchor_interval_blocks": 5, "anchor_interval_ms": DAY},
        "templates": [TEMPLATE],
        "contracts": dict.fromkeys(("records", "registry", "credit", "notary", "anchor", "gov"), 1),
    }
    return {**base, **changes}


def consortium(**changes: Value) -> Ledger:
    """A ledger at height 1 with the template adopted and an import window of 30 days."""
    modules: dict[str, Any] = {
        "anchor": anchor,
        "gov": gov,
        "notary": notary,
        "records": records,
        "registry": registry,
    }
    ledger = Ledger(modules, document(**changes))
    adopt(ledger, TEMPLATE)
    ledger.seed(CONSORTIUM, "credit", "model", "standard", 1, value={"import_window_days": 30})
    ledger.seed(CONSORTIUM, "credit", "model_current", "standard", value=1)
    ledger.seed(CONSORTIUM, "credit", "period", value={"number": 1, "start": START, "end": START + 30 * DAY})
    ledger.next_block()
    return ledger


def adopt(ledger: Ledger, template: dict[str, Any]) -> None:
    """Put a template where the credit contract keeps them."""
    ledger.seed(CONSORTIUM, "credit", "template", template["id"], template["version"], value=template)


def record(kind: str, number: str, fields: dict[str, Any], **changes: Any) -> bytes:
    """Record bytes; by default issued by and for the supplier on 2025-12-31, template "trade" 1."""
    parts: dict[str, Any] = {
        "issuer": SUPPLIER,
        "enterprise": SUPPLIER,
        "counterparty": "GB-COH:0002",
        "template": "trade",
        "template_version": 1,
        "occurred_at": "2025-12-31",
        "links": [],
        "source": ["test", "test", "1", bytes(32), 1],
        "sealed_root": None,
        "corrects": None,
        **changes,
    }
    return encode(
        [
            "tally/record",
            1,
            kind,
            parts["issuer"],
            number,
            parts["enterprise"],
            parts["counterparty"],
            parts["template"],
            parts["template_version"],
            parts["occurred_at"],
            parts["links"],
            parts["source"],
            fields,
            parts["sealed_root"],
            parts["corrects"],
        ]
    )


def submit(ledger: Ledger, batch: Sequence[bytes], *, chain: str = "erp", signer: str | None = None) -> Receipt:
    """Submit a batch on a member's chain, signed by that member unless told otherwise."""
    args = {"count": len(batch), "records_root": merkle.root(list(batch))}
    return ledger.call(chain, "records.submit", args, [key(signer or chain)], batch)


def record_id(data: bytes) -> bytes:
    return sha256(data)
