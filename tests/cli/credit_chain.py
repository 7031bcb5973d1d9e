"""A credit story on a real ledger in memory, and a client that answers from it as a node's API would.

The supplier's contract C-1 over 3 000.00 with 500.00 paid before: order O-1 is history, order O-2 comes after the
loan. Periods are days. Every step is its own block, so that each can be asked for by its height.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chain import query
from chain.block import CONSORTIUM, Block
from chain.codec import encode
from chain.ledger import Ledger
from chain.transaction import Transaction
from genesis import document as documents
from genesis import library
from node.queries_api import record_page
from node.views import block_view
from tests.chain.chain_builder import ROLES, VOTERS, Consortium, key_of
from tests.contracts import trading
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BANK, BUYER, DAY, SUPPLIER

LABEL: Final = "credit story"
CONTRACT: Final = {"value": "3000.00", "prepayment": "500.00"}


def document() -> dict[str, Any]:
    """The consortium of the story: four validators, a notary, the buyer with a key; a period is a day."""

    def key(owner: str, purpose: str) -> str:
        return key_of(LABEL, owner, purpose).public.hex()

    return documents.from_json(
        {
            "name": LABEL,
            "time": START,
            "members": [
                {
                    "id": member,
                    "role": role,
                    "validator": key(member, "validator") if member in VOTERS else None,
                    "network": key(member, "network"),
                    "signers": [{"key": key(member, "signer"), "rights": ["*"]}],
                }
                for member, role in ROLES.items()
            ],
            "parties": [{"id": "buyer", "name": "Buyer", "identifiers": [BUYER], "keys": [key("buyer", "party")]}],
            "parameters": {**documents.default_parameters(), "credit_period_s": 86_400},
            "templates": [library.template("general-trade")],
            "models": [library.model("standard-1")],
            "contracts": dict.fromkeys(documents.CONTRACTS, 1),
        }
    )


class LedgerClient:
    """As much of tallystick.Client as reading needs, on a ledger of this process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.network_id = ledger.network_id

    def status(self) -> dict[str, Any]:
        return {"height": self._ledger.height}

    def block(self, height: int) -> dict[str, Any]:
        return block_view(self._ledger, height)

    def state(self, chain: str, contract: str, *key: str | int | bytes, at: int | None = None) -> Any:
        return self._ledger.state(chain, encode([contract, *key]), at)

    def enterprise_records(self, chain: str, enterprise: str) -> Iterator[dict[str, Any]]:
        filters = query.Filters(chains=(chain,), enterprise=enterprise, newest_first=False)
        page = record_page(self._ledger, query.records(self._ledger, filters, 2))
        yield from page["rows"]
        while page["next"] is not None:
            page = record_page(self._ledger, query.records(self._ledger, filters, 2, page["next"]))
            yield from page["rows"]


class CreditStory(Consortium):
    """The story's blocks, one method a chapter."""

    def __init__(self) -> None:
        super().__init__(LABEL, document=document(), keys=lambda owner, purpose: key_of(LABEL, owner, purpose))
        self.blocks: list[Block] = []
        self.application = b""
        self.assessments: list[bytes] = []

    @property
    def client(self) -> LedgerClient:
        return LedgerClient(self.ledger)

    def tell(self, *transactions: Transaction, after_ms: int = 1_000) -> Block:
        """One block; every transaction of it succeeds."""
        block = self.seal(*transactions, time=self.ledger.head.time + after_ms)
        self.blocks.append(block)
        for receipts in self.ledger.receipts(block.height).values():
            for receipt in receipts:
                assert receipt.status == 0, f"{receipt.code}: {receipt.message}"
        return block

    def by_buyer(self, method: str, **args: Any) -> Transaction:
        return self.make(CONSORTIUM, method, args, [self.key("buyer", "party")])

    def confirm(self, data: bytes, kind: str, issuer: str, number: str) -> Transaction:
        return self.by_buyer("credit.confirm", kind=kind, issuer=issuer, number=number, id=record_id(data))

    def history(self) -> None:
        """The supplier is onboarded and brings what was before; buyer and guarantor stand for what they know."""
        party: dict[str, Any] = {"id": "supplier", "name": "Supplier", "identifiers": [SUPPLIER], "keys": []}
        self.tell(self.call("procurement", "registry.register_party", **party))
        contract, qualification = trading.contract(**CONTRACT), trading.qualification()
        self.tell(
            self.submit("procurement", contract, qualification, trading.order(), trading.receipt()),
            self.submit("erp", trading.despatch(), trading.invoice()),
            self.submit("guarantor", trading.guarantee("100.55")),
        )
        backed: dict[str, Any] = {"kind": "qualification", "issuer": "GB-COH", "number": "Q-1"}
        backed["id"] = record_id(qualification)
        self.tell(
            self.confirm(contract, "contract", BUYER, "C-1"),
            self.call("guarantor", "credit.confirm", **backed),
            self.confirm(trading.invoice(), "invoice", SUPPLIER, "I-1"),
        )

    def apply(self) -> None:
        args: dict[str, Any] = {"enterprise": "supplier", "contract": [BUYER, "C-1"], "lender": "lender"}
        transaction = self.call("procurement", "credit.apply", **args)
        self.tell(transaction)
        self.application = transaction.id

    def assess(self) -> bytes:
        transaction = self.call("lender", "credit.assess", application=self.application)
        self.tell(transaction)
        self.assessments.append(transaction.id)
        return transaction.id

    def lend(self) -> None:
        """700.00 are approved and paid out."""
        self.tell(self.submit("lender", trading.loan("700.00", disbursed_on="2026-01-01")))
        loan: dict[str, Any] = {"application": self.application, "loan": [BANK, "L-1"]}
        args = {**loan, "assessment": self.assessments[-1], "decision": "approve", "amount": 70_000}
        self.tell(self.call("lender", "credit.decide", **args))
        self.tell(self.call("lender", "credit.disburse", **loan))

    def deliver(self) -> None:
        """Order O-2 is sent, received and billed in the first days of the year; two periods close."""
        late = {"occurred_at": "2026-01-01"}
        order = trading.order("150", price="13.00", amount="1950.00", number="O-2", occurred_at="2025-12-30")
        self.tell(after_ms=DAY)
        self.tell(
            self.submit("procurement", order, trading.receipt("150", number="R-2", despatch_number="D-2", **late)),
            self.submit("erp", trading.despatch("150", number="D-2", order_number="O-2", **late)),
        )
        self.tell(after_ms=DAY)
        bill = trading.invoice(
            "150", price="13.00", amount="1950.00", tax="390.00", total="2340.00", number="I-2",
            links=[["order", "", "O-2"]], fields={"issue_date": "2026-01-02"}, **late,
        )  # fmt: skip
        self.tell(self.submit("erp", bill))
        self.tell(after_ms=DAY)

    def come_back(self) -> None:
        """Two thirds of O-2 come back."""
        fields = {"issue_date": "2026-01-03", "reason": "faulty", "lines": [trading.line("100")]}
        back = trading.paper(
            "return", "B-1", BUYER, fields, [("order", BUYER, "O-2")], occurred_at="2026-01-03"
        )  # fmt: skip
        self.tell(self.submit("procurement", back))
        self.tell()
