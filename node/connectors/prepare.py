"""A draft to a record: the template says which fields are open, the rest is sealed; the source is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from chain.codec import encode
from chain.crypto import sha256
from chain.sealed import SealedBody, seal
from contracts import record as records
from contracts.errors import ContractError
from contracts.record import FieldValue
from contracts.template import check_fields
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError
from node.connectors.formats import Connector
from node.connectors.routing import kind_rules

TemplateLookup: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Record kind to the template (a dict of the genesis document) that applies; ConnectorError for an unknown one."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a file came from. raw_hash: of chain.sealed.RawDocument, 32 bytes; captured_at: ms since 1970, UTC."""

    system: str
    raw_hash: bytes
    captured_at: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record ready to be submitted, and what its member must keep.

    record: the array of contracts/record.py; encoded: its canonical bytes; id: their sha256; sealed: the body for
    the document store, None where every field is open.
    """

    record: list[Any]
    encoded: bytes
    id: bytes
    sealed: SealedBody | None


def to_record(
    draft: RecordDraft,
    lookup: TemplateLookup,
    connector: Connector,
    provenance: Provenance,
    secret: bytes,
    corrects: bytes | None = None,
) -> Prepared:
    """The record of a draft.

    A field that the template does not name is sealed: what nobody decided to show stays hidden. secret: the
    member's, at least 32 bytes; corrects: the id of the record this one supersedes. Raises ConnectorError where
    the template has no such kind, an open field does not fit it, or the record breaks a limit of
    contracts/record.py: what the records contract would refuse is refused here, before anything is sent.
    """
    template = lookup(draft.kind)
    rules = kind_rules(draft.kind, template)
    shown: dict[str, FieldValue] = {}
    hidden: dict[str, FieldValue] = {}
    for name, value in draft.fields.items():
        (shown if name in rules.rules else hidden)[name] = value
    sealed = seal(hidden, (draft.kind, draft.issuer, draft.number), secret) if hidden else None
    record: list[Any] = [
        records.TAG,
        records.VERSION,
        draft.kind,
        draft.issuer,
        draft.number,
        draft.enterprise.id,
        draft.counterparty.id if draft.counterparty else "",
        template["id"],
        template["version"],
        draft.occurred_at,
        [list(link) for link in draft.links],
        [provenance.system, connector.name, connector.version, provenance.raw_hash, provenance.captured_at],
        shown,
        sealed.root if sealed else None,
        corrects,
    ]
    try:
        records.parse(record)
        records.moment(draft.occurred_at)
        check_fields(rules, shown)
    except ContractError as error:
        raise ConnectorError("BAD_VALUE", error.message, "correct the document and take it in again") from None
    encoded = encode(record)
    return Prepared(record, encoded, sha256(encoded), sealed)
