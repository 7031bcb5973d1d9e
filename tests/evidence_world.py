"""A real loan and its default on a real ledger in this process, every key at hand.

Everything follows from the label: the same label gives the same keys, the same genesis hash and the same blocks, so a
second label is a second, forged consortium that tells the same story. Amounts are CNY, the template's zone is UTC+8.

    2026-01-01  the supplier is onboarded; contract, orders, despatches, receipts, bills and a guarantee are sealed
    2026-01-02  the application, the assessment, the decision over 30 000.00
    2026-01-03  the payment out in three instalments; bill I-1 is pledged, bill I-2 disputed, order O-2 corrected
    2026-02-03  the first instalment is paid; 2026-03-05 half of the second; nothing after that
    2026-06-15  the default, on a chain whose validators changed meanwhile
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chain.block import CONSORTIUM, Block
from chain.codec import encode
from chain.crypto import SigningKey, sha256
from chain.sealed import RawDocument, SealedBody, seal, seal_file
from chain.transaction import Transaction
from genesis import document as documents
from genesis import library
from tests.chain.chain_builder import Consortium, key_of, vote_in
from tests.contracts import trading
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import record, record_id
from tests.contracts.trading import BANK, BUYER, GUARANTOR, SUPPLIER

LABEL: Final = "evidence"
ROLES: Final = {
    "bank": "lender",
    "court": "court",
    "erp": "erp",
    "guarantor": "guarantor",
    "notary": "notary",
    "procurement": "procurement",
}
VOTERS: Final = ("bank", "erp", "guarantor", "procurement")
LATER_VOTERS: Final = ("bank", "erp", "guarantor", "notary", "procurement")
"""From the middle of the story on: proofs of the default lead over a change of validators."""
CURRENCY: Final = {"currency": "CNY"}
DAY_S: Final = 86_400
LOAN: Final = 3_000_000
"""Minor units paid out."""
SCHEDULE: Final = (
    {"due": "2026-02-03", "principal": 1_000_000, "interest": 15_000},
    {"due": "2026-03-03", "principal": 1_000_000, "interest": 10_000},
    {"due": "2026-04-03", "principal": 1_000_000, "interest": 5_000},
)
ACCOUNT: Final = "6217 0000 1234 5678"
"""The sealed account number of the bills: disclosed to the court alone."""


def document(label: str = LABEL) -> dict[str, Any]:
    """The consortium's genesis document: four validators of six members; buyer, supplier and a person as parties."""

    def key(owner: str, purpose: str) -> str:
        return key_of(label, owner, purpose).public.hex()

    template = {**library.template("general-trade"), "time_zone_minutes": 480}
    return documents.from_json(
        {
            "name": label,
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
            "parties": [
                {"id": "buyer", "name": "买方有限公司", "identifiers": [BUYER], "keys": [key("buyer", "party")]},
                {"id": "person", "name": "王某", "identifiers": ["CN-ID:1"], "keys": [key("person", "party")]},
            ],
            "parameters": {**documents.default_parameters(), "anchor_interval_blocks": 1_000},
            "templates": [template],
            "models": [library.model("standard-1")],
            "contracts": dict.fromkeys(documents.CONTRACTS, 1),
        }
    )


class Original:
    """A record's file, the sealed body of its sealed fields, and its bytes on the chain."""

    def __init__(self, chain: str, data: bytes, raw: RawDocument, body: SealedBody | None) -> None:
        self.chain = chain
        self.data = data
        self.raw = raw
        self.body = body

    @property
    def id(self) -> bytes:
        return record_id(self.data)


class LoanWorld(Consortium):
    """The story's blocks up to the default, one method a chapter."""

    loan_record = "30000.00"
    """What the bank's record of the loan says."""

    def __init__(self, label: str = LABEL, secret: bytes = bytes(range(32))) -> None:
        super().__init__(label, document=document(label), keys=lambda owner, purpose: key_of(label, owner, purpose))
        self.label = label
        self.validator_keys |= {
            key.public: key for key in (key_of(label, member, "validator") for member in LATER_VOTERS)
        }
        self.secret = secret
        self.originals: dict[str, Original] = {}
        """By "kind number"; a corrected record's earlier version as "kind number/1"."""
        self.application = self.assessment = b""
        self.transactions: dict[str, bytes] = {}
        """Ids by what they did."""

    # -- sealing blocks ----------------------------------------------------------------------------------

    def at(self, day: str) -> None:
        """Let block time reach 10:00 in China of a day, YYYY-MM-DD."""
        time = ms_of(day) + 2 * 3_600_000
        if time > self.now:
            self.seal(time=time)

    def tell(self, *transactions: Transaction) -> Block:
        """One block; every transaction of it succeeds."""
        block = self.seal(*transactions)
        for receipts in self.ledger.receipts(block.height).values():
            for receipt in receipts:
                assert receipt.status == 0, f"{receipt.code}: {receipt.message}"
        return block

    def do(self, name: str, by: str, method: str, /, **args: Any) -> bytes:
        """One transaction of a member or party in a block of its own, its id kept under a name."""
        made = self.signed(by, method, **args)
        self.tell(made)
        self.transactions[name] = made.id
        return made.id

    def signed(self, by: str, method: str, /, **args: Any) -> Transaction:
        """A consortium transaction of a member, or of a party with its key."""
        return self.make(CONSORTIUM, method, args, [self.owner_key(by)])

    def owner_key(self, owner: str) -> SigningKey:
        """The transaction key of a member or a party."""
        return self.key(owner, "signer" if owner in ROLES else "party")

    def state(self, contract: str, *key: Any, chain: str = CONSORTIUM) -> Any:
        """A value of the newest state."""
        return self.ledger.state(chain, encode([contract, *key]))

    # -- records -----------------------------------------------------------------------------------------

    def paper(
        self, chain: str, kind: str, number: str, by: str, fields: Mapping[str, Any],
        links: Sequence[Sequence[str]] = (), sealed: Mapping[str, str] | None = None, **changes: Any,
    ) -> Original:  # fmt: skip
        """A record read from a file of its own, its sealed fields sealed with the member's secret."""
        said = {"kind": kind, "number": number, "issuer": by, **fields, **(sealed or {})}
        raw = seal_file(json.dumps(said, ensure_ascii=False, sort_keys=True, indent=1).encode(), self.secret)
        body = None if sealed is None else seal(sealed, (kind, by, number), self.secret)
        parts: dict[str, Any] = {
            "issuer": by, "enterprise": SUPPLIER, "counterparty": BUYER, "template": "general-trade",
            "links": sorted(list(link) for link in links),
            "source": ["sap", "tabular", "1", raw.hash, self.now - 60_000],
            "sealed_root": None if body is None else body.root,
        }  # fmt: skip
        made = Original(chain, record(kind, number, dict(fields), **{**parts, **changes}), raw, body)
        name = f"{kind} {number}"
        if name in self.originals:
            self.originals[f"{name}/1"] = self.originals[name]
        self.originals[name] = made
        return made

    def sealing(self, *papers: Original) -> Transaction:
        """The submission of records on their chain."""
        return self.submit(papers[0].chain, *(paper.data for paper in papers))

    # -- the chapters ------------------------------------------------------------------------------------

    def history(self) -> None:
        """The supplier is onboarded with a key of its own, and what was before is sealed and confirmed."""
        party = {"id": "supplier", "name": "供应商有限公司", "identifiers": [SUPPLIER]}
        keys = [self.key("supplier", "party").public, self.key("supplier", "lost").public]
        self.do("register", "procurement", "registry.register_party", keys=keys, **party)
        contract = self.paper("procurement", "contract", "C-1", BUYER, {
            "title": "蜡制品年度采购合同", "status": "active", "value": "120000.00", "prepayment": "20000.00",
            "date_signed": "2025-11-30", "buyer_name": "买方有限公司", "supplier_name": "供应商有限公司", **CURRENCY,
        }, occurred_at="2025-11-30")  # fmt: skip
        qualification = self.paper("procurement", "qualification", "Q-1", "GB-COH", {
            "registered_name": "供应商有限公司", "registration_number": "1", "country": "CN", "industry": "20.59",
            "established_on": "2001-02-03", "legal_form": "Ltd",
        }, counterparty="", occurred_at="2025-06-01")  # fmt: skip
        guarantee = self.paper("guarantor", "guarantee", "G-1", GUARANTOR, {
            "amount": "5000.55", "grade": "A", "expiry_date": "2026-12-01", **CURRENCY,
        }, counterparty=BANK, occurred_at="2025-12-01")  # fmt: skip
        trades = [self._trade("1", "100", "10.00", "1000.00", "1200.00")]
        trades.append(self._trade("2", "150", "13.00", "1950.00", "2340.00"))
        bought = [paper for trade in trades for paper in trade if paper.chain == "procurement"]
        sold = [paper for trade in trades for paper in trade if paper.chain == "erp"]
        self.tell(self.sealing(contract, qualification, *bought), self.sealing(*sold), self.sealing(guarantee))
        self.tell()
        for name, by in (("contract C-1", "buyer"), ("invoice I-1", "buyer"), ("qualification Q-1", "guarantor")):
            self.confirm(name, by)
        place = {"chain": "procurement", "kind": "contract", "issuer": BUYER, "number": "C-1"}
        subjects = [{**place, "record": contract.id}]
        self.do("preserve", "notary", "notary.preserve", subjects=subjects, contract="C-1")

    def confirm(self, name: str, by: str) -> None:
        """Somebody stands for a record with its own key."""
        data = self.originals[name].data
        kind, issuer, number = trading.decode_record(data)[2:5]
        args = {"kind": kind, "issuer": issuer, "number": number, "id": record_id(data)}
        self.do(f"confirm {name}", by, "credit.confirm", **args)

    def application_and_decision(self) -> None:
        """The supplier applies, is assessed, and the bank approves 30 000.00."""
        self.application = self.do(
            "apply", "supplier", "credit.apply", enterprise="supplier", contract=[BUYER, "C-1"], lender="bank"
        )
        self.assessment = self.do("assess", "bank", "credit.assess", application=self.application)
        self._loan_record()
        about = {"application": self.application, "assessment": self.assessment}
        loan = [BANK, "L-1"]
        self.do("decide", "bank", "credit.decide", decision="approve", amount=LOAN, loan=loan, **about)

    def after_decision(self) -> None:
        """Room for a deed."""

    def payment_out(self) -> None:
        """Paid out with its schedule; one bill pledged, another disputed, an order corrected."""
        self._loan_record(disbursed_on="2026-01-03")
        about = {"application": self.application}
        self.do("disburse", "bank", "credit.disburse", loan=[BANK, "L-1"], schedule=list(SCHEDULE), **about)
        bill = {"kind": "invoice", "issuer": SUPPLIER}
        self.do("pledge", "bank", "credit.pledge", number="I-1", **about, **bill)
        reason = "数量短少"
        self.do("dispute", "buyer", "credit.dispute", number="I-2", reason=reason, **bill)
        corrected = self._order("2", "150", "13.00", "1950.00", "2026-01-20", corrects=self.originals["order O-2"].id)
        self.tell(self.sealing(corrected))

    def repay(self, number: str, amount: str, day: str) -> None:
        """The bank has been paid on a day."""
        fields = {"amount": amount, "paid_on": day, **CURRENCY}
        paid = self.paper("bank", "repayment", number, BANK, fields, counterparty="", occurred_at=day)
        self.tell(self.sealing(paid))
        about = {"application": self.application, "repayment": [BANK, number]}
        self.do(f"repay {number}", "bank", "credit.repay", **about)

    def change_validators(self) -> None:
        """The notary becomes a validator."""
        key = self.key("notary", "validator").public
        self.do("validator key", "notary", "registry.add_key", key=key, purpose="validator")
        rows = [[member, self.key(member, "validator").public] for member in LATER_VOTERS]
        vote_in(self, {"kind": "validators", "set": rows})
        self.seal()
        assert self.ledger.validators().ids == LATER_VOTERS

    def revoke_lost_key(self) -> None:
        """The supplier has a key revoked that it lost."""
        lost = self.key("supplier", "lost").public
        self.do("revoke lost key", "supplier", "registry.revoke_key", key=lost)

    def until_default(self) -> None:
        """Everything up to the day nothing is paid any more."""
        self.history()
        self.at("2026-01-02")
        self.application_and_decision()
        self.after_decision()
        self.at("2026-01-03")
        self.payment_out()
        self.at("2026-02-03")
        self.repay("P-1", "10150.00", "2026-02-03")
        self.at("2026-03-05")
        self.repay("P-2", "5050.00", "2026-03-05")
        self.change_validators()
        if "revoke lost key" not in self.transactions:
            self.revoke_lost_key()
        self.at("2026-06-15")
        self.tell()

    # -- inside ------------------------------------------------------------------------------------------

    def _loan_record(self, **more: str) -> None:
        fields = {"amount": self.loan_record, "rate_bp": "600", "term_days": "90", **CURRENCY, **more}
        if more:
            fields.pop("term_days")
        earlier = self.originals.get("loan L-1")
        changes: dict[str, Any] = {"corrects": None if earlier is None else earlier.id}
        link = [("contract", BUYER, "C-1")]
        made = self.paper(
            "bank", "loan", "L-1", BANK, fields, link, counterparty="", occurred_at="2026-01-02", **changes
        )
        self.tell(self.sealing(made))

    def _trade(self, number: str, quantity: str, price: str, amount: str, total: str) -> list[Original]:
        """Order, despatch, receipt and bill, which agree."""
        tax = f"{int(total[:-3]) - int(amount[:-3])}.00"
        sent = {"issue_date": "2025-12-10", "lines": [trading.line(quantity)]}
        received = {"issue_date": "2025-12-12", "received_date": "2025-12-12", "lines": [trading.line(quantity)]}
        billed = {
            "issue_date": "2025-12-12", "due_date": "2026-05-12", "total_excl_tax": amount, "tax": tax,
            "total": total, "buyer_name": "买方有限公司", "seller_name": "供应商有限公司",
            "lines": [trading.line(quantity, price, amount)], **CURRENCY,
        }  # fmt: skip
        hidden = {"payee_account": ACCOUNT, "payee_bank": "工商银行", "payment_reference": f"REF-{number}"}
        order = [("order", BUYER, f"O-{number}")]
        return [
            self._order(number, quantity, price, amount, "2025-12-15"),
            self.paper("erp", "despatch", f"D-{number}", SUPPLIER, sent, order, occurred_at="2025-12-10"),
            self.paper(
                "procurement", "receipt", f"R-{number}", BUYER, received, [("despatch", "", f"D-{number}")],
                occurred_at="2025-12-12",
            ),
            self.paper("erp", "invoice", f"I-{number}", SUPPLIER, billed, order, hidden, occurred_at="2025-12-12"),
        ]  # fmt: skip

    def _order(self, number: str, quantity: str, price: str, amount: str, delivery: str, **changes: Any) -> Original:
        fields = {
            "issue_date": "2025-12-01", "total": amount, "delivery_date": delivery, "buyer_name": "买方有限公司",
            "seller_name": "供应商有限公司", "lines": [trading.line(quantity, price, amount)], **CURRENCY,
        }  # fmt: skip
        links = [("contract", BUYER, "C-1")]
        return self.paper(
            "procurement", "order", f"O-{number}", BUYER, fields, links, occurred_at="2025-12-01", **changes
        )


def ms_of(day: str) -> int:
    """Midnight UTC of a day, ms."""
    from contracts.record import moment

    return moment(day, 0).first * 1_000


def fingerprint(world: LoanWorld) -> str:
    """The head's digest: the same story, the same bytes."""
    return sha256(world.ledger.header(world.ledger.height).encoded).hex()
