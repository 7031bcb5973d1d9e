"""The engine's way to a real ledger in this process: the real contract decides, no node runs.

What is sent waits in a pool; ``wait`` seals a block of it. ``lose`` makes the node unreachable after some calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chain.codec import encode
from chain.crypto import sha256
from chain.transaction import Transaction
from genesis import library
from node.connectors.routing import Member
from node.intake import engine
from node.intake.desk import Desk, Feed, Marks, Status
from node.intake.gateway import Gateway
from node.intake.outcomes import FileReport
from node.intake.reading import Rules, Source, sealing_secret
from node.views import receipt_view
from tallystick.client import Document, NodeUnreachableError, OutcomeUnknownError
from tests.chain.chain_builder import Consortium, document_of

MEMBER = "procurement"
BUYER = {"scheme": "GB-COH", "id": "77700101"}
SELLER = {"scheme": "GB-COH", "id": "77700217"}
ISSUER = "GB-COH:77700101"


class LedgerGateway(Gateway):
    """For the member MEMBER; ``sent``: every transaction; ``stored``: documents by hash; ``received``: in order."""

    def __init__(self, consortium: Consortium) -> None:
        self.consortium = consortium
        self.sent: list[Transaction] = []
        self.stored: dict[bytes, bytes] = {}
        self.received: list[Document] = []
        self.lookups = 0
        self.lose_at: int | None = None
        """The call of ``submit`` or ``wait`` at which the node is lost, counted from 0."""
        self._calls = 0
        self._pool: list[Transaction] = []

    def lookup(self, chain: str, keys: Sequence[tuple[str, str, str]]) -> list[dict[str, Any] | None]:
        self.lookups += 1
        return [self.consortium.ledger.state(chain, encode(["records", "record", *key])) for key in keys]

    def store(self, documents: Sequence[Document]) -> None:
        self.received += documents
        self.stored.update({sha256(document.data): document.data for document in documents})

    def sign(self, chain: str, records: Sequence[bytes]) -> Transaction:
        return self.consortium.submit(chain, *records)

    def submit(self, transaction: Transaction) -> None:
        self._lost(NodeUnreachableError("UNREACHABLE", "no node answers"))
        self.sent.append(transaction)
        self._pool.append(transaction)

    def wait(self, transaction: Transaction) -> dict[str, Any]:
        self._lost(OutcomeUnknownError(transaction.id))
        ledger = self.consortium.ledger
        while ledger.locate(transaction.id) is None:
            self.consortium.seal(self._pool.pop(0))
        place = ledger.locate(transaction.id)
        assert place is not None
        return receipt_view(ledger.receipt(place))

    def _lost(self, error: Exception) -> None:
        if self._calls == self.lose_at:
            raise error
        self._calls += 1


class LedgerDesk(Desk):
    """A desk over a LedgerGateway: the ways in without a node."""

    def __init__(self, gateway: Gateway, marks: Marks, status: Status) -> None:
        self._gateway = gateway
        self._marks = marks
        self._status = status

    def _rules_of(self, feed: Feed) -> Rules:
        return replace(rules(), system=feed.source_system)


def consortium() -> Consortium:
    """Five members with the template general-trade."""
    templates = [library.template("general-trade")]
    document = {**document_of("intake"), "templates": templates, "models": library.models_of(templates)}
    return Consortium("intake", document=document)


def rules() -> Rules:
    """Of the member MEMBER."""
    member = Member(MEMBER, "procurement")
    secret = sealing_secret(bytes(32))
    return Rules(library.template("general-trade"), (member,), member, lambda _member: secret, "test")


def contract(number: str, amount: str = "1000", signed: str = "2025-05-01") -> dict[str, Any]:
    """An OCDS release with one contract."""
    return {
        "ocid": f"ocds-test-{number}", "id": number, "date": f"{signed}T00:00:00Z", "tag": ["contract"],
        "initiationType": "tender", "buyer": {"id": "B", "name": "Buyer"},
        "parties": [
            {"id": "B", "name": "Buyer", "identifier": BUYER, "roles": ["buyer"]},
            {"id": "S", "name": "Seller", "identifier": SELLER, "roles": ["supplier"]},
        ],
        "awards": [{"id": "a", "suppliers": [{"id": "S", "name": "Seller"}]}],
        "contracts": [
            {"id": number, "awardID": "a", "title": "pumps", "dateSigned": f"{signed}T00:00:00Z",
             "value": {"amount": int(amount), "currency": "GBP"},
             "period": {"startDate": "2025-05-01T00:00:00Z", "endDate": "2027-05-01T00:00:00Z"}},
        ],
    }  # fmt: skip


def package(*releases: dict[str, Any]) -> bytes:
    """A release package: one file, many records."""
    about = {"uri": "http://example.test/p", "version": "1.1", "publishedDate": "2025-05-01T00:00:00Z"}
    return json.dumps({**about, "publisher": {"name": "x"}, "releases": list(releases)}).encode()


def source(name: str, data: bytes, captured_at: int = 1_750_000_000_000) -> Source:
    """A file in memory."""
    return Source(name, lambda: (data, captured_at), len(data))


def run(
    gateway: Gateway | None, *sources: Source, correct: bool = False, seen: Callable[[FileReport], None] | None = None
) -> tuple[engine.Run, dict[str, FileReport]]:
    """One run; its reports by file name."""
    reports: dict[str, FileReport] = {}

    def keep(report: FileReport) -> None:
        reports[report.name] = report
        if seen is not None:
            seen(report)

    gateway_of = None if gateway is None else (lambda _chain: gateway)
    return engine.run(sources, rules(), gateway_of, correct=correct, on_file=keep), reports
