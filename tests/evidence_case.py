"""The real case on top of the real loan: deed, consents, default, execution certificate, a case before a court."""

from __future__ import annotations

from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from chain.codec import encode
from chain.crypto import SigningKey, sha256
from contracts import claims
from contracts.enforceable_deed import statement
from tests import certificates
from tests.certificates import Holder
from tests.contracts.trading import BUYER
from tests.evidence_world import LOAN, LoanWorld

DEED_TEXT: Final = "赋予强制执行效力的债权文书".encode()
DEED_NUMBER: Final = "(2026)京证经字第1号"
WORK_RECORD: Final = "核实工作记录".encode()
CERTIFICATE_NUMBER: Final = "(2026)京证执字第1号"
AMOUNTS: Final = ("principal", "interest", "penalty", "compound", "costs", "total")
CLAIMED: Final = "2026-06-15"
CERTIFIED: Final = "2026-06-22"
OBLIGORS: Final = ("supplier", "person")


class CaseWorld(LoanWorld):
    """The whole story; ``until_case`` tells it. What a rogue consortium does otherwise overrides a part of it."""

    deed = case = b""
    notary = "notary"
    verified_on = CERTIFIED
    """The agreed five days to answer are over by then."""
    outcome = "unpaid"
    respondents: tuple[tuple[str, str], ...] = (("party", "supplier"), ("party", "person"))

    def __init__(self, label: str, signatory: Holder) -> None:
        """signatory: whose CA-issued certificate the supplier signs with besides."""
        super().__init__(label)
        self.signatory = signatory

    def until_case(self) -> None:
        """The whole story, with a block after it."""
        self.until_default()
        self.claim_default()
        self.at(self.verified_on)
        self.verify_performance()
        self.at(CERTIFIED)
        self.issue()
        self.open_case()
        self.tell()

    def after_decision(self) -> None:
        """The deed is made before the money is paid out: drafted, consented to, countersigned."""
        self.draft()
        for owner in ("bank", *OBLIGORS):
            self.consent(owner)
        self.countersign()

    def countersign(self) -> None:
        """The notary makes the deed enforceable."""
        args = {"deed": self.deed, "digest": self._deed()["digest"], "number": DEED_NUMBER}
        self.do("countersign", self.notary, "notary.countersign", **args)

    def draft(self) -> None:
        """The bank's draft, which rests on the contract and takes in a guarantor."""
        contract = {"chain": "procurement", "kind": "contract", "issuer": BUYER, "number": "C-1"}
        self.deed = self.do(
            "draft", "bank", "notary.draft", application=self.application, notary=self.notary, ceiling=LOAN,
            terms={"penalty_bp": 900, "compound_bp": 900, "day_count": 360, "acceleration": True},
            verification={"method": "letter", "address": "北京市某路一号", "answer_days": 5},
            guarantors=[{"owner": "party", "id": "person", "kind": "joint", "covers": 1_000_000,
                         "address": "北京市某路二号"}],
            records=[{**contract, "record": self.originals["contract C-1"].id}],
            text_hash=sha256(DEED_TEXT), language="zh",
        )  # fmt: skip

    def consent(self, owner: str) -> None:
        """A party's consent with its own key, the supplier's with a CA-issued signature besides."""
        args: dict[str, Any] = {"digest": self._deed()["digest"], "enforcement": True, "verification": True}
        if owner == "supplier":
            data = encode(statement(self.network_id, self._deed()))
            key = self.signatory.key
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            signature = key.sign(self.signed_by_ca(data), ec.ECDSA(hashes.SHA256()))
            args["ca"] = {"algorithm": "ecdsa-sha256", "certificates": [self.signatory.der], "signature": signature}
        made = self.make("consortium", "notary.consent", {"deed": self.deed, **args}, [self.consent_key(owner)])
        self.tell(made)
        self.transactions[f"consent {owner}"] = made.id

    def consent_key(self, owner: str) -> SigningKey:
        """The key that a party consents with."""
        return self.owner_key(owner)

    def signed_by_ca(self, data: bytes) -> bytes:
        """What the CA-issued signature is over."""
        return data

    def claim_default(self) -> None:
        """What is overdue is claimed."""
        paid_out = self.transactions["disburse"]
        unpaid = [[due, paid_out] for due in ("2026-03-03", "2026-04-03")]
        about = {"deed": self.deed, "as_of": CLAIMED, "unpaid": unpaid, "accelerate": False, "costs": []}
        self.do("default", "bank", "notary.claim_default", **about)

    def verify_performance(self) -> None:
        """The notary asked every obligor; nobody answered."""
        asked = {"owner": "party", "asked_on": CLAIMED, "answered": False, "note": "未答复"}
        contacts = [{**asked, "id": owner} for owner in OBLIGORS]
        self.do(
            "verify", self.notary, "notary.verify_performance", deed=self.deed, outcome=self.outcome,
            record=sha256(WORK_RECORD), text="经核实未履行", contacts=contacts, objections=[],
        )  # fmt: skip

    def issue(self) -> None:
        """The execution certificate."""
        self.do(
            "issue", self.notary, "notary.issue", deed=self.deed, number=CERTIFICATE_NUMBER, as_of=CERTIFIED,
            respondents=[list(one) for one in self.respondents], costs=[], amounts=self.amounts(),
        )  # fmt: skip

    def amounts(self) -> dict[str, int]:
        """What the chain's own entries come to."""
        found = claims.claim(
            self.state("credit", "schedule", self.application), [self._entry("disburse")],
            [self._entry(name) for name in self.repayments()], claims.terms(self._deed()["terms"]), CERTIFIED, 480,
        )  # fmt: skip
        return {name: getattr(found, name) for name in AMOUNTS}

    def repayments(self) -> list[str]:
        """Names of the transactions that booked them."""
        return ["repay P-1", "repay P-2"]

    def open_case(self) -> None:
        """The bank opens a case; the route is enforcement, for the certificate stands."""
        self.case = self.do("open", "bank", "court.open", application=self.application)

    def _deed(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state("notary", "deed", self.deed)
        return found

    def _entry(self, name: str) -> dict[str, Any]:
        """The disbursement or repayment that a transaction made."""
        kind = "disbursement" if name == "disburse" else "repayment"
        found: dict[str, Any] = self.state("credit", kind, self.transactions[name])
        return found


def signatory(root: Holder) -> Holder:
    """A person's certificate for signing documents."""
    return certificates.certificate("供应商法定代表人", root)
