"""Matching an assessed enterprise with a lender ([13]) and with an insurer ([14]-[17]), on the consortium chain.

Reads the assessment, the enterprise's papers and what regulators have published on their own chains at this block, so
every node names the same target. The result is advice: the enterprise chooses its lender (credit.choose).

State, on the consortium chain:
    ("match", id)               -> the whole result, id: the transaction's; `kind` lending or underwriting
    ("of", application, kind)   -> ids of its newest matches, oldest first
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from contracts import access, applications, arguments, market, notices, preferences, products, profile
from contracts.access import CONSORTIUM, Actor
from contracts.context import Args, Context, Method, Value
from contracts.documents import Document
from contracts.errors import ContractError
from contracts.evidence import Enterprise, Reader
from contracts.market import CELLS_PER_UNIT, Dataset
from contracts.market_schema import LENDING, PRODUCTS, UNDERWRITING

MAX_MATCHES: Final = 16
ENTRIES_SHOWN: Final = 48
UNPROVEN: Final = (
    "The accuracy of insurer matching is unproven: no real trade-credit underwriting data was at hand to measure it."
)


class _Case:
    """What a match is about, read once: application, assessment, contract, enterprise, profile."""

    def __init__(self, ctx: Context, method: str, args: Args) -> None:
        if ("application" in args) == ("assessment" in args):
            raise ContractError("WRONG_ARGUMENT", "give an application, or an assessment: one of the two")
        arguments.expect(args, optional=("application", "assessment", "dataset", "products"))
        self.actor: Actor = access.authorise(ctx, method)
        self.application, self.assessment = _assessed(ctx, args)
        reader = Reader(ctx)
        self.enterprise: Enterprise = reader.enterprise(self.application["enterprise"])
        kind, issuer, number = self.application["contract"]
        self.contract: Document = applications.contract(reader, (kind, issuer, number))
        applications.require_involved(reader, self.actor, self.enterprise, self.contract)
        self.profile = profile.of(ctx, reader, self.enterprise, self.contract, self.assessment)

    def dataset(self, ctx: Context, kind: str, wanted: Value) -> Dataset:
        """The data set to search, in the assessment's currency."""
        named = None
        if wanted is not None:
            chain, identity = arguments.sequence(wanted, "a data set, [chain, id],", 2, 2)
            named = [arguments.member_id(chain, "chain"), arguments.member_id(identity, "id of a data set")]
        return market.newest(ctx, kind, self.assessment["currency"], self.assessment["scale"], named)

    def head(self, ctx: Context, kind: str) -> dict[str, Any]:
        """What every result says of what it is about."""
        return {
            "id": ctx.tx_id,
            "kind": kind,
            "application": self.application["id"],
            "assessment": self.assessment["id"],
            "enterprise": self.enterprise.id,
            "limit": self.assessment["limit"],
            "currency": self.assessment["currency"],
            "scale": self.assessment["scale"],
            "height": ctx.height,
            "time": ctx.time,
        }


def lender(ctx: Context, args: Args) -> Value:
    """Name the target lender: {application or assessment, dataset: [chain, id] (optional)}.

    By any member, the enterprise or its contract's counterparty. Gives {id, target ("" when nobody is left),
    predicted, limit}; the whole, with every lender's verdict, is in the state under ("match", id).
    Raises ContractError NOT_ASSESSED, NO_LIMIT, NO_DATASET, WRONG_CURRENCY, NO_FEATURES.
    """
    case = _Case(ctx, "match.lender", args)
    limit: int = case.assessment["limit"]
    if limit <= 0:
        raise ContractError(
            "NO_LIMIT", "the assessment gives no limit, so no lender is closest to it: see its reasons"
        )
    searched = _search(ctx, case, case.dataset(ctx, LENDING, args.get("dataset")))
    result = preferences.lenders(searched, limit, _members(ctx, "lender"))
    chosen = next((entry for entry in result.entries if entry["lender"] == result.target), None)
    stored = case.head(ctx, LENDING) | _explained(searched, result, result.target)
    _store(ctx, stored)
    predicted = None if chosen is None else chosen["predicted"]
    said = {"id": ctx.tx_id, "application": case.application["id"], "target": result.target, "limit": limit}
    notices.notify(ctx, "lender_matched", _concerned(case, result.target), said)
    return {"id": ctx.tx_id, "target": result.target, "predicted": predicted, "limit": limit}


def insurer(ctx: Context, args: Args) -> Value:
    """Name the target insurer: {application or assessment, dataset, products: [chain, id] (both optional)}.

    Gives {id, target, product, acceptance, note}. The note says that accuracy is unproven. Raises as `lender`.
    """
    case = _Case(ctx, "match.insurer", args)
    offered = case.dataset(ctx, PRODUCTS, args.get("products"))
    listed = market.product_list(ctx, offered)
    searched = _search(ctx, case, case.dataset(ctx, UNDERWRITING, args.get("dataset")))
    asked = case.profile
    deal = products.Case(
        _text(asked["industry"]),
        _text(asked["region"]),
        _whole(asked["amount"]),
        _whole(asked["tenor_months"]),
        _whole(asked["composite"]),
    )
    ctx.charge(len(listed))
    accepted = preferences.acceptance(searched)
    result = preferences.insurers(listed, deal, accepted, _members(ctx, "insurer"))
    stored = case.head(ctx, UNDERWRITING) | _explained(searched, result, result.target)
    _store(ctx, {**stored, "products": offered.reference, "note": UNPROVEN})
    said = {"id": ctx.tx_id, "application": case.application["id"], "target": result.target}
    notices.notify(ctx, "insurer_matched", _concerned(case, result.target), said)
    best = result.entries[0] if result.target else {"product": "", "acceptance": None}
    shown = {"product": best["product"], "acceptance": best["acceptance"], "note": UNPROVEN}
    return {"id": ctx.tx_id, "target": result.target, **shown}


METHODS: Final[dict[str, Method]] = {"lender": lender, "insurer": insurer}


def _assessed(ctx: Context, args: Args) -> tuple[dict[str, Any], dict[str, Any]]:
    """The application and the assessment meant: the one named, or the application's newest."""
    wanted = args.get("assessment")
    if wanted is None:
        identity = arguments.binary(args["application"], "application")
        application = ctx.read(CONSORTIUM, "credit", "application", identity)
        if application is None:
            raise ContractError("UNKNOWN_APPLICATION", f"no application {identity.hex()}: use an id of credit.apply")
        if not application["assessments"]:
            raise ContractError("NOT_ASSESSED", "the application has no assessment yet: credit.assess comes first")
        return application, ctx.read(CONSORTIUM, "credit", "assessment", application["assessments"][-1])
    assessment = ctx.read(CONSORTIUM, "credit", "assessment", arguments.binary(wanted, "assessment"))
    if assessment is None:
        raise ContractError("UNKNOWN_ASSESSMENT", f"no assessment {wanted.hex()}: use an id that credit.assess gave")
    return ctx.read(CONSORTIUM, "credit", "application", assessment["application"]), assessment


def _search(ctx: Context, case: _Case, dataset: Dataset) -> preferences.Searched:
    ctx.charge(dataset.rows * len(dataset.columns) // CELLS_PER_UNIT)
    searched = preferences.search(dataset, case.profile)
    if not searched.used:
        raise ContractError(
            "NO_FEATURES",
            f"nothing of {', '.join(sorted(dataset.scales()))} is known of the enterprise: seal its qualification",
        )
    return searched


def _explained(searched: preferences.Searched, result: preferences.Result, target: str) -> dict[str, Any]:
    """Why: the features that counted, the bands of the target's nearest records, every institution's verdict."""
    nearest = searched.places.get(target, [])[: searched.dataset.header["neighbours"]]
    counted = Counter(entry["verdict"] for entry in result.entries)
    return {
        "target": result.target,
        "dataset": searched.dataset.reference,
        "features": _shown(searched),
        "unknown": sorted(set(searched.dataset.scales()) - set(searched.used)),
        "neighbours": len(nearest),
        "bands": preferences.bands(searched, nearest),
        "entries": result.entries[:ENTRIES_SHOWN],
        "verdicts": {verdict: counted[verdict] for verdict in sorted(counted)},
    }


def _shown(searched: preferences.Searched) -> dict[str, Value]:
    """The query as the data set understood it: codes written out, "" for one that no record has."""
    coded = {entry["name"]: entry["codes"] for entry in searched.dataset.header["columns"] if "codes" in entry}
    return {
        name: value if name not in coded else (coded[name][value] if value < len(coded[name]) else "")
        for name, value in searched.used.items()
    }


def _members(ctx: Context, role: str) -> set[str]:
    return {member for member in access.member_ids(ctx) if access.member(ctx, member)["role"] == role}


def _concerned(case: _Case, target: str) -> tuple[str, ...]:
    """The applicant, the enterprise and the target."""
    return (case.application["by"][1], case.enterprise.id, target)


def _store(ctx: Context, stored: dict[str, Any]) -> None:
    ctx.put("match", stored["id"], value=stored)
    place = ("of", stored["application"], stored["kind"])
    ctx.put(*place, value=[*(ctx.get(*place) or []), stored["id"]][-MAX_MATCHES:])


def _text(value: int | str | None) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None
