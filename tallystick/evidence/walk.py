"""A walk through all that the chain holds about one claim: who, what was lent and paid, the deed, the court, papers.

It only collects; what must follow from what is for the checks. Each list is read to its end by the count that the
state keeps of it, so that nothing can be left out of a bundle without a read that no proof answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, cast

from contracts.access import CONSORTIUM, MEMBER
from contracts.context import Context
from contracts.enforceable_certificate import PARTS
from contracts.evidence import Reader, keys_of
from tallystick.evidence.view import Source, hash_value
from tallystick.evidence.words import MAX_SCALE

Person: TypeAlias = tuple[str, str]
"""(owner: "member" or "party", id)."""
MOST: Final = 1_024
"""Of any one list: more is no bundle."""
_DRAFTED: Final = ("application", "text_hash", "notary", "ceiling", "terms", "verification", "language")
"""Parts of a deed that stand in it as they were given."""


class Step(NamedTuple):
    """One thing done on the chain, as its state entry tells it.

    about: arguments that its transaction must have had; signers: None where the entry does not say.
    """

    method: str
    transaction: bytes
    by: Person
    height: int
    time: int
    signers: tuple[bytes, ...] | None
    about: Mapping[str, Any]


class PaperName(NamedTuple):
    """A record that belongs to the case: on which chain, under which natural key."""

    chain: str
    kind: str
    issuer: str
    number: str


@dataclass(frozen=True)
class Paper:
    """A record as the chain holds it now. entry: None where it is not there."""

    name: PaperName
    entry: dict[str, Any] | None
    cited: tuple[bytes, ...]
    """Versions that the loan's books name: their ids."""
    confirmations: tuple[tuple[bytes, list[dict[str, Any]]], ...]
    disputes: tuple[dict[str, Any], ...]
    pledges: tuple[dict[str, Any], ...]
    preservations: tuple[dict[str, Any], ...]

    @property
    def versions(self) -> tuple[bytes, ...]:
        """Ids that a bundle proves of it: the one in force, then those that were cited."""
        ids = [] if self.entry is None else [self.entry["id"]]
        return tuple(dict.fromkeys([*ids, *self.cited]))


@dataclass(frozen=True)
class DeedFile:
    """An enforceable deed and all its steps; see contracts/enforceable.py for the entries."""

    deed: dict[str, Any]
    consents: dict[Person, dict[str, Any]]
    countersignature: dict[str, Any] | None
    demands: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    defaults: list[dict[str, Any]]
    verifications: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    certificate: dict[str, Any] | None
    execution: dict[str, Any] | None
    revocation: dict[str, Any] | None
    limitation: Any


@dataclass
class Dossier:
    """What the walk found."""

    application: dict[str, Any]
    line: dict[str, Any]
    decisions: list[dict[str, Any]]
    disbursements: list[dict[str, Any]]
    repayments: list[dict[str, Any]]
    unpaid: list[list[Any]]
    pledges: list[dict[str, Any]]
    deeds: list[DeedFile]
    cases: list[dict[str, Any]]
    papers: list[Paper]
    steps: list[Step] = field(default_factory=list)
    people: dict[Person, dict[str, Any] | None] = field(default_factory=dict)
    keys: dict[bytes, dict[str, Any] | None] = field(default_factory=dict)
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Of each step's transaction: its block's height and its number in it."""

    @property
    def deed(self) -> DeedFile | None:
        """The newest deed."""
        return self.deeds[-1] if self.deeds else None

    @property
    def scale(self) -> int:
        """Decimal places of the minor unit. Raises ValueError where that is no number of places."""
        scale = self.line["scale"]
        if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
            raise ValueError(f"a currency has 0 to {MAX_SCALE} decimal places")
        return scale

    @property
    def zone(self) -> int:
        """Minutes east of UTC of the days."""
        return int(self.line["zone"])


def walk(source: Source, application_id: bytes, chosen: Sequence[PaperName], claimant: bytes) -> Dossier:
    """The dossier of an application's claim.

    chosen: papers that the claimant adds; the loan's own are there anyway. claimant: the key that signs the bundle.
    Raises KeyError, TypeError or ValueError where entries are not what the contracts write.
    """
    credit = _Namespace(source, "credit")
    application = credit.must("application", application_id)
    line = credit.must("line", application_id)
    found = Dossier(
        application=application,
        line=line,
        decisions=[credit.must("decision", application["decision"])] if application.get("decision") else [],
        disbursements=[
            credit.must("disbursement", identity)
            for identity in credit.row("disbursement_of", application_id, count=line["disbursements"])
        ],
        repayments=[
            credit.must("repayment", identity)
            for identity in credit.row("repayment_of", application_id, count=line["repayments"])
        ],
        unpaid=credit.get("schedule", application_id) or [],
        pledges=_there(credit.get("pledge", *place) for place in credit.get("pledges", application_id) or []),
        deeds=list(_deeds(_Namespace(source, "notary"), application_id)),
        cases=_cases(_Namespace(source, "court"), application_id),
        papers=[],
    )
    found.papers = [_paper(source, name, cited) for name, cited in _names(found, chosen).items()]
    found.steps = list(_steps(found))
    _people(source, found, claimant)
    return found


def person(source: Source, who: Person) -> dict[str, Any] | None:
    """Registry entry of a member or party."""
    found: dict[str, Any] | None = _Namespace(source, "registry").get(who[0], who[1])
    return found


class _Namespace:
    """A contract's entries on the consortium chain."""

    def __init__(self, source: Source, contract: str) -> None:
        self._source = source
        self._contract = contract

    def get(self, *key: Any) -> Any:
        return self._source.read(CONSORTIUM, self._contract, *key)

    def must(self, *key: Any) -> dict[str, Any]:
        value = self.get(*key)
        if not isinstance(value, dict):
            raise ValueError(
                f"the chain holds no {self._contract} {key[0]} for this case, or the bundle no proof of it"
            )
        return value

    def row(self, name: str, *key: Any, count: Any, start: int = 0) -> list[Any]:
        """The entries start to start + count - 1 of a list that is kept one key an entry."""
        if type(count) is not int or not 0 <= count <= MOST:
            raise ValueError(f"{name} counts {count!r} entries: that is no count")
        return [self.get(name, *key, number) for number in range(start, start + count)]


def _deeds(notary: _Namespace, application_id: bytes) -> Iterator[DeedFile]:
    for identity in notary.get("deeds_of", application_id) or []:
        deed = notary.must("deed", identity)
        claims = deed["claims"]
        who = [(MEMBER, deed["creditor"]), ("party", deed["debtor"])]
        who += [(row["owner"], row["id"]) for row in deed["guarantors"]]
        consents = {person: notary.get("consent", identity, *person) for person in who}
        yield DeedFile(
            deed=deed,
            consents={person: entry for person, entry in consents.items() if entry is not None},
            countersignature=notary.get("countersignature", identity),
            demands=notary.row("demand", identity, count=deed["demands"]),
            answers=notary.row("answer", identity, count=deed["answers"]),
            defaults=_there(notary.row("default", identity, count=claims, start=1)),
            verifications=_there(notary.row("verification", identity, count=claims, start=1)),
            refusals=_there(notary.row("refusal", identity, count=claims + 1)),
            certificate=notary.get("certificate", identity),
            execution=notary.get("execution", identity),
            revocation=notary.get("revocation", identity),
            limitation=notary.get("limitation", identity),
        )


def _there(rows: Iterable[Any]) -> list[Any]:
    return [row for row in rows if row is not None]


def _cases(court: _Namespace, application_id: bytes) -> list[dict[str, Any]]:
    return [court.must("case", identity) for identity in court.get("cases", application_id) or []]


def _names(found: Dossier, chosen: Sequence[PaperName]) -> dict[PaperName, list[bytes]]:
    """Every paper of the case with the versions that the books cite, sorted."""
    line, names = found.line, cast(dict[PaperName, list[bytes]], {})
    names.setdefault(PaperName(line["contract_chain"], *line["contract"]), [])
    for entry in (*found.decisions, *found.disbursements):
        if "loan" in entry:
            names.setdefault(PaperName(line["lender"], *entry["loan"]), []).append(entry["loan_id"])
    for entry in found.repayments:
        names.setdefault(PaperName(line["lender"], *entry["record"]), []).append(entry["record_id"])
    for row in line["guarantees"]:
        names.setdefault(PaperName(*row[-4:]), []).append(row[0])
    for file in found.deeds:
        for row in file.deed["records"]:
            place = PaperName(row["chain"], row["kind"], row["issuer"], row["number"])
            names.setdefault(place, []).append(row["record"])
    for name in chosen:
        names.setdefault(name, [])
    return {name: names[name] for name in sorted(names)}


def _paper(source: Source, name: PaperName, cited: Sequence[bytes]) -> Paper:
    """A record's entry, and what others said of it: confirmations, disputes, pledges, preservations."""
    credit = _Namespace(source, "credit")
    entry = source.read(name.chain, "records", "record", *name[1:])
    ids = tuple(dict.fromkeys([*([] if entry is None else [entry["id"]]), *cited]))
    issuers = keys_of(Reader(cast(Context, source)), name.issuer)
    confirmed = [(identity, credit.get("confirmation", identity)) for identity in ids]
    return Paper(
        name=name,
        entry=entry,
        cited=tuple(cited),
        confirmations=tuple((identity, rows) for identity, rows in confirmed if rows),
        disputes=tuple(_there(credit.get("dispute", name.kind, key, name.number) for key in issuers)),
        pledges=tuple(_there(credit.get("pledge", name.kind, key, name.number) for key in issuers)),
        preservations=tuple(row for identity in ids for row in _preserved(source, name.chain, identity)),
    )


def _preserved(source: Source, chain: str, record_id: bytes) -> Iterator[dict[str, Any]]:
    """Preservations of a record version by notaries and others (contracts/notary.py)."""
    notary = _Namespace(source, "notary")
    subject = hash_value(["tally/subject", 1, {"chain": chain, "record": record_id}])
    pages, _ = notary.get("subject_pages", subject) or (0, 0)
    for page in notary.row("subject", subject, count=pages):
        for identity in page:
            yield notary.must("preservation", identity)


def _steps(found: Dossier) -> Iterator[Step]:
    """Everything that was done, each with the transaction that did it."""
    application = found.application
    about = {"application": application["id"]}
    by = application["by"]
    yield _credit("apply", application, (by[0], by[1]), {"enterprise": application["enterprise"]})
    lender = (MEMBER, found.line["lender"])
    for decision in found.decisions:
        method = "decide" if decision["decides"] == "application" else "extend"
        yield _credit(method, decision, lender, {**about, "decision": "approve"})
    for entry in found.disbursements:
        yield _credit("disburse", entry, lender, {**about, "loan": entry["loan"][1:]})
    for entry in found.repayments:
        yield _credit("repay", entry, lender, {**about, "repayment": entry["record"][1:]})
    for file in found.deeds:
        yield from _deed_steps(file)
    for case in found.cases:
        for step in case["steps"]:
            named = about if step["step"] == "open" else {"case": case["id"]}
            yield _case_step(step, named)


def _credit(method: str, entry: Mapping[str, Any], by: Person, about: Mapping[str, Any]) -> Step:
    return Step(f"credit.{method}", entry["id"], by, entry["height"], entry["time"], None, about)


def _case_step(step: Mapping[str, Any], about: Mapping[str, Any]) -> Step:
    by = (MEMBER, step["by"])
    return Step(f"court.{step['step']}", step["transaction"], by, step["height"], step["time"], None, about)


def _deed_steps(file: DeedFile) -> Iterator[Step]:
    deed = file.deed
    about = {"deed": deed["id"]}
    agreed = {**about, "digest": deed["digest"]}
    drafted = {part: deed[part] for part in _DRAFTED}
    yield _signed("draft", deed, drafted)
    for entry in file.consents.values():
        yield _signed("consent", entry, {**agreed, "enforcement": True, "verification": True})
    groups = (
        ("countersign", [file.countersignature], agreed, ("number",)),
        ("demand", file.demands, about, ("on", "text")),
        ("claim_default", file.defaults, about, ("as_of", "costs")),
        ("answer", file.answers, about, ("admits", "text")),
        ("verify_performance", file.verifications, about, ("outcome", "record", "text")),
        ("refuse", file.refusals, about, ("reason", "text")),
        ("issue", [file.certificate], about, ("number", "as_of", "costs")),
        ("executed", [file.execution], about, ("amount", "on", "reference")),
        ("revoke", [file.revocation], about, ("reason", "text")),
    )
    for method, entries, named, parts in groups:
        for entry in _there(entries):
            said = {part: entry[part] for part in parts}
            if method == "issue":
                said["amounts"] = {part: entry["claim"][part] for part in PARTS}
            yield _signed(method, entry, {**named, **said})


def _signed(method: str, entry: Mapping[str, Any], about: Mapping[str, Any]) -> Step:
    by = (entry["owner"], entry["by"])
    signers = tuple(entry["signers"])
    return Step(f"notary.{method}", entry["transaction"], by, entry["height"], entry["time"], signers, about)


def _people(source: Source, found: Dossier, claimant: bytes) -> None:
    """Registry entries of everybody who did something or is named, and of every key that signed."""
    registry = _Namespace(source, "registry")
    who: set[Person] = {step.by for step in found.steps}
    who |= {(MEMBER, found.line["lender"]), ("party", found.line["enterprise"])}
    for file in found.deeds:
        who.add((MEMBER, file.deed["notary"]))
        who |= {(row["owner"], row["id"]) for row in file.deed["guarantors"]}
    who |= {(MEMBER, case["court"]) for case in found.cases if case["court"]}
    found.people = {person: registry.get(*person) for person in sorted(who)}
    signers = {claimant}
    for step in found.steps:
        signers |= set(step.signers or ())
        done = source.transaction(step.transaction)
        if done is not None:
            signers |= set(done.signers)
            found.places[done.id] = (done.block.height, done.index)
    found.keys = {key: registry.get("key", key) for key in sorted(signers)}
