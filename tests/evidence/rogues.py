"""Rogue consortia: all their validators agree to run contracts that lack one rule. Every proof of theirs is sound.

Only a verifier that holds the case against the rules again can refuse what comes of it. Each is the honest story with
one chapter told otherwise, on contracts that are changed for as long as it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from chain.crypto import SigningKey
from contracts import (
    access,
    court,
    court_route,
    credit_line,
    enforceable,
    enforceable_certificate,
    enforceable_default,
    lending,
)
from contracts.enforceable_deed import REFUSED, REVOKED
from contracts.enforceable_deed import save as deed_saved
from contracts.enforceable_deed import signed as step_fields
from contracts.enforceable_default import debt as owed
from tests.evidence_case import CLAIMED, CaseWorld
from tests.evidence_world import LOAN

Rules = Mapping[tuple[Any, str], Any]


class RogueWorld(CaseWorld):
    """The honest story under other rules."""

    def rules(self) -> Rules:
        """(module, name) to what stands there while the story is told."""
        return {}

    def until_case(self) -> None:
        """See CaseWorld."""
        with replaced(self.rules()):
            super().until_case()


class WrongNotary(RogueWorld):
    """The bank's data supplier, who is no notary, countersigns and certifies."""

    notary = "erp"

    def rules(self) -> Rules:
        """A notary is whom the creditor names."""
        methods = ("countersign", "verify_performance", "issue")
        allowed = {f"notary.{method}": (*access.METHOD_ROLES[f"notary.{method}"], "erp") for method in methods}
        return {
            (enforceable, "_notary"): lambda _ctx, value: value,
            (access, "METHOD_ROLES"): {**access.METHOD_ROLES, **allowed},
        }


class RevokedKey(RogueWorld):
    """The supplier's consent is signed with a key that it lost and had revoked before."""

    def rules(self) -> Rules:
        """A key once registered is valid for ever."""
        return {(access, "is_valid_at"): lambda _entry, _height: True}

    def consent(self, owner: str) -> None:
        """See CaseWorld."""
        if owner == "supplier":
            self.revoke_lost_key()
        super().consent(owner)

    def consent_key(self, owner: str) -> SigningKey:
        """See CaseWorld."""
        return self.key("supplier", "lost") if owner == "supplier" else super().consent_key(owner)


class ForeignKey(RogueWorld):
    """The guarantor's consent is signed by the bank."""

    def rules(self) -> Rules:
        """Who a key belongs to is what the bank says."""
        resolve = access.authorise

        def authorise(ctx: Any, method: str) -> access.Actor:
            actor = resolve(ctx, method)
            ours = method == "notary.consent" and [access.MEMBER, "bank"] in _deed_of(ctx, self)["consents"]
            return actor._replace(owner=access.PARTY, id="person") if ours and actor.id == "bank" else actor

        return {(access, "authorise"): authorise}

    def consent_key(self, owner: str) -> SigningKey:
        """See CaseWorld."""
        return self.owner_key("bank") if owner == "person" else super().consent_key(owner)


class NoTimeToAnswer(RogueWorld):
    """Performance is verified on the very day that the obligors were asked."""

    verified_on = CLAIMED

    def rules(self) -> Rules:
        """Nobody needs time to answer."""
        return {(enforceable_default, "_require_over"): lambda *_args: None}


class Uncovered(RogueWorld):
    """The certificate is against the buyer too, who consented to nothing."""

    def rules(self) -> Rules:
        """The notary may name anybody."""
        named = enforceable_certificate._respondents

        def respondents(deed: Any, value: Any, total: int) -> Any:
            row = {"owner": "party", "id": "buyer", "kind": "joint", "covers": None, "amount": total}
            return [*named(deed, value, total), row]

        return {(enforceable_certificate, "_respondents"): respondents}


class MoreThanCovered(RogueWorld):
    """The certificate asks the guarantor for all of it; the deed covers a part."""

    def rules(self) -> Rules:
        """A ceiling is not looked at."""
        named = enforceable_certificate._respondents

        def respondents(deed: Any, value: Any, total: int) -> Any:
            return [{**row, "amount": total} for row in named(deed, value, total)]

        return {(enforceable_certificate, "_respondents"): respondents}


class Inflated(RogueWorld):
    """The certificate's penalty interest is ten times what the books give."""

    def rules(self) -> Rules:
        """The notary's figures are not held against the books."""

        def debt(*args: Any) -> Any:
            found = owed(*args)
            more = 9 * found.penalty
            return found._replace(penalty=found.penalty + more, total=found.total + more)

        return {(enforceable_certificate, "debt"): debt}

    def amounts(self) -> dict[str, int]:
        """See CaseWorld."""
        found = super().amounts()
        more = 9 * found["penalty"]
        return {**found, "penalty": found["penalty"] + more, "total": found["total"] + more}


class Unbooked(RogueWorld):
    """The line forgets a part of what was repaid."""

    def rules(self) -> Rules:
        """The last repayment frees nothing."""
        save = credit_line.save

        def forgetful(ctx: Any, line: dict[str, Any]) -> None:
            less = 495_000 if line["repaid"] == 1_495_000 else 0
            save(ctx, {**line, "repaid": line["repaid"] - less, "outstanding": line["outstanding"] + less})

        return {(credit_line, "save"): forgetful}


class OtherVoucher(RogueWorld):
    """The bank's own record of the loan says less than its books."""

    loan_record = "25000.00"

    def rules(self) -> Rules:
        """What a loan record says is not read."""
        read = lending._loan
        return {(lending, "_loan"): lambda *args: (read(*args)[0], LOAN)}


class BorrowedTransaction(RogueWorld):
    """The guarantor's consent on the chain names a transaction in which it did something else."""

    def consent(self, owner: str) -> None:
        """See CaseWorld."""
        if owner == "person":
            further = self.key("person", "further").public
            self.do("add key", "person", "registry.add_key", key=further, purpose="signer", rights=["credit.confirm"])
        super().consent(owner)

    def rules(self) -> Rules:
        """A step says itself which transaction it was."""

        def signed(ctx: Any, actor: Any) -> dict[str, Any]:
            said = step_fields(ctx, actor)
            return {**said, "transaction": self.transactions["add key"]} if actor.id == "person" else said

        return {(enforceable, "signed"): signed}


class StillCertified(RogueWorld):
    """The notary has revoked the deed with its certificate; the chain still calls it certified."""

    def issue(self) -> None:
        """See CaseWorld."""
        super().issue()
        self.do("revoke", self.notary, "notary.revoke", deed=self.deed, reason="ERROR", text="撤销")

    def rules(self) -> Rules:
        """What is revoked keeps its state."""

        def saved(ctx: Any, deed: dict[str, Any], **changes: Any) -> dict[str, Any]:
            kept = {name: value for name, value in changes.items() if value != REVOKED}
            return deed_saved(ctx, deed, **kept)

        return {(enforceable, "save"): saved}


class RefusedBefore(RogueWorld):
    """The notary refused the certificate, and issued it all the same: of two answers the bank shows one."""

    def issue(self) -> None:
        """See CaseWorld."""
        said = {"reason": "DISPUTED", "text": "有争议"}
        self.do("refuse", self.notary, "notary.refuse", deed=self.deed, **said)
        super().issue()

    def rules(self) -> Rules:
        """What is refused keeps its state."""

        def saved(ctx: Any, deed: dict[str, Any], **changes: Any) -> dict[str, Any]:
            kept = {name: value for name, value in changes.items() if value != REFUSED}
            return deed_saved(ctx, deed, **kept)

        return {(enforceable_certificate, "save"): saved}


class NotConfirmed(RogueWorld):
    """The notary found the debt disputed, and certified it."""

    outcome = "disputed"

    def rules(self) -> Rules:
        """Whatever the notary found will do."""
        return {(enforceable_certificate, "UNPAID"): self.outcome}


class NotCountersigned(RogueWorld):
    """A certificate on a deed that no notary countersigned."""

    def countersign(self) -> None:
        """See CaseWorld."""

    def rules(self) -> Rules:
        """Any step may come at any time."""
        return {
            (module, "require_state"): lambda *_args: None
            for module in (enforceable_default, enforceable_certificate)
        }


class FalseCertificateSignature(RogueWorld):
    """The CA-issued signature beside the supplier's consent is over another text; the chain checks its form only."""

    def signed_by_ca(self, data: bytes) -> bytes:
        """See CaseWorld."""
        return data + b"another"


class WrongWay(RogueWorld):
    """The bank sues over a debt that a notary has certified for enforcement."""

    def rules(self) -> Rules:
        """The creditor chooses the way."""
        follows = court_route.route

        def chosen(*args: Any) -> Any:
            reasons = ((court_route.NO_DEED, "there is no notarized deed over this debt"),)
            return follows(*args)._replace(letter="B", reasons=reasons)

        return {(court, "route"): chosen}


ROGUES: Final[Mapping[type[RogueWorld], str]] = {
    WrongNotary: "roles",
    RevokedKey: "keys",
    ForeignKey: "keys",
    NoTimeToAnswer: "order",
    NotConfirmed: "order",
    NotCountersigned: "order",
    Uncovered: "consents",
    MoreThanCovered: "consents",
    Inflated: "amounts",
    Unbooked: "ledger",
    OtherVoucher: "vouchers",
    BorrowedTransaction: "transactions",
    FalseCertificateSignature: "persons",
    WrongWay: "route",
    StillCertified: "route",
    RefusedBefore: "route",
}
"""Each with the one check that its bundle fails."""


@contextmanager
def replaced(rules: Rules) -> Iterator[None]:
    """These names replaced for a while."""
    patches = [patch.object(module, name, value) for (module, name), value in rules.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()


def _deed_of(ctx: Any, world: CaseWorld) -> dict[str, Any]:
    found: dict[str, Any] = ctx.read(access.CONSORTIUM, "notary", "deed", world.deed)
    return found
