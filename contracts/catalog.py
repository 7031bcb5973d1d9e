"""The explicit registry of contracts: (name, version) → its functions and the kind of chain it runs on.

A new version is a new row beside the old one, which stays for ever: old blocks replay under the version of their
time. Governance says from which height a version is active.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from contracts import anchor, court, credit, custody, custody_rounds, gov, market, match, notary, records, registry
from contracts.context import BeginBlock, Genesis, Method

Kind = Literal["member", "consortium"]


class Contract(NamedTuple):
    """One version of a contract."""

    name: str
    version: int
    kind: Kind
    methods: Mapping[str, Method]
    begin_block: BeginBlock | None = None
    genesis: Genesis | None = None


CONTRACTS: Final[dict[tuple[str, int], Contract]] = {
    (contract.name, contract.version): contract
    for contract in (
        Contract("records", 1, "member", records.METHODS),
        Contract("market", 1, "member", market.METHODS),
        Contract("match", 1, "consortium", match.METHODS),
        Contract("registry", 1, "consortium", registry.METHODS, genesis=registry.genesis),
        Contract("credit", 1, "consortium", credit.METHODS, credit.begin_block, credit.genesis),
        Contract("custody", 1, "consortium", custody.METHODS, custody_rounds.begin_block, custody_rounds.genesis),
        Contract("notary", 1, "consortium", notary.METHODS, notary.begin_block),
        Contract("court", 1, "consortium", court.METHODS),
        Contract("anchor", 1, "consortium", anchor.METHODS, anchor.begin_block, anchor.genesis),
        Contract("gov", 1, "consortium", gov.METHODS, gov.begin_block, gov.genesis),
    )
}
