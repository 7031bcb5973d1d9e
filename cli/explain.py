"""``tally credit explain``: every number from record to limit, as of a height, from the state of the chains.

What is stored (assessment, line, sums, verdicts) is shown as it is stored; what a contract works out when it is asked
(the borrowing base, what is available) comes from that contract's own function on the state of that height. Template
and model are those that the assessment names, so an old one is explained under the versions of its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from cli import explain_words
from cli.command import Settings
from cli.errors import not_found
from cli.output import show
from cli.session import Session
from cli.state_view import CONSORTIUM, StateView
from cli.values import digest, is_digest

PERIODS_SHOWN: Final = 24
PERIODS_LOOKED_AT: Final = 240

if TYPE_CHECKING:
    from contracts.context import Context
    from contracts.documents import Document
    from contracts.evidence import Enterprise, Reader
    from tallystick.client import Client


class Scratch:
    """A state of its own in memory: as much of a context as a contract's ordered structure uses."""

    def __init__(self) -> None:
        self._values: dict[tuple[str | int | bytes, ...], Any] = {}

    def get(self, *key: str | int | bytes) -> Any:
        return self._values.get(key)

    def put(self, *key: str | int | bytes, value: Any) -> None:
        self._values[key] = value

    put_canonical = put

    def delete(self, *key: str | int | bytes) -> None:
        self._values.pop(key, None)

    def charge(self, units: int) -> None:
        """Nobody pays for looking."""

    def hash(self, value: Any) -> bytes:
        from chain.crypto import hash_value

        return hash_value(value)


class Asked(NamedTuple):
    """What is explained: an application with the assessment meant, None while it has none."""

    application: dict[str, Any]
    assessment: dict[str, Any] | None


def explain(settings: Settings, what: str, at: int | None, with_records: bool) -> None:
    """Show every number behind an enterprise's, an application's or an assessment's limit."""
    with Session(settings) as session:
        found = gather(session.client, what, at, with_records)
    show(settings, found, explain_words.whole(found))


def gather(client: Client, what: str, at: int | None, with_records: bool) -> dict[str, Any]:
    """{height, time, explained: one entry for each application}. Raises CliError for what is not there."""
    head = int(client.status()["height"])
    if at is not None and at > head:
        raise not_found(f"the node is at block {head}: ask for a height up to that")
    now = StateView(client, head if at is None else at)
    found = [explained(client, now, asked, with_records) for asked in resolve(now, what)]
    return {"height": now.height, "time": now.time, "explained": found}


def evidence_of(client: Client, assessment: dict[str, Any]) -> Iterator[bytes]:
    """Ids of the records that an assessment's bills rest on: those it shows, then its contract's matched bills."""
    from contracts.evidence import Reader

    then = StateView(client, assessment["height"])
    reader = Reader(cast("Context", then))
    kind, _, number = assessment["contract"]

    def papers(verdict: dict[str, Any]) -> Iterator[bytes]:
        yield verdict["id"]
        for chain, *key in (place for name in ("orders", "despatches", "receipts") for place in verdict[name]):
            yield then.read(chain, "records", "record", *key)["id"]

    for bill in assessment["bills"]:
        yield from papers(bill)
    for doc in _documents(client, then, reader, reader.enterprise(assessment["enterprise"])):
        verdict = then.get("verdict", doc.chain, *doc.key) if doc.category == "bill" else None
        if verdict is None or verdict["status"] != "matched" or not verdict["contract"]:
            continue
        if (verdict["contract"][0], verdict["contract"][2]) == (kind, number):
            yield from papers(verdict)


def resolve(view: StateView, what: str) -> list[Asked]:
    """The applications that a name or id stands for, newest first. Raises CliError where there is none."""
    if is_digest(what):
        identity = digest(what, "id")
        assessment = view.get("assessment", identity)
        if assessment is not None:
            return [Asked(view.get("application", assessment["application"]), assessment)]
        application = view.get("application", identity)
        if application is None:
            raise not_found(f"at block {view.height} there is no application or assessment {what}: check the id")
        return [_newest(view, application)]
    enterprise = party_id(view, what)
    ids = view.get("enterprise", enterprise) or []
    assessed = [view.get("assessment", identity) for identity in reversed(ids)]
    applications = dict.fromkeys(assessment["application"] for assessment in assessed)
    if not applications:
        raise not_found(f"{enterprise} had no assessment by block {view.height}: tally credit assess APPLICATION")
    return [_newest(view, view.get("application", identity)) for identity in applications]


def party_id(view: StateView, what: str) -> str:
    """Party id behind a party id or an identifier. Raises CliError."""
    known = view.read(CONSORTIUM, "registry", "party", what)
    owner = what if known is not None else view.read(CONSORTIUM, "registry", "identifier", what)
    if owner is None:
        raise not_found(f"no enterprise is or has identifier {what!r}: see `tally party show`")
    return str(owner)


def explained(client: Client, now: StateView, asked: Asked, with_records: bool) -> dict[str, Any]:
    """Everything about one application as of a height; the assessment's own numbers as of its block."""
    found: dict[str, Any] = {"application": asked.application, "assessment": asked.assessment, "line": None}
    if asked.assessment is not None:
        then = StateView(client, asked.assessment["height"])
        found |= _behind(client, then, asked.assessment, with_records)
    line = now.get("line", asked.application["id"])
    if line is not None:
        found["line"] = _line(now, line)
    return found


def _newest(view: StateView, application: dict[str, Any]) -> Asked:
    ids = application["assessments"]
    return Asked(application, view.get("assessment", ids[-1]) if ids else None)


def _behind(client: Client, then: StateView, assessment: dict[str, Any], with_records: bool) -> dict[str, Any]:
    """Sums, model and, if asked for, each record and bill that went into an assessment."""
    from contracts import applications, credit
    from contracts.assessment import assess
    from contracts.evidence import Reader

    reader = Reader(then)
    enterprise = reader.enterprise(assessment["enterprise"])
    kind, issuer, number = assessment["contract"]
    contract = applications.contract(reader, (kind, issuer, number))
    inputs = credit.gather(cast("Context", then), reader, enterprise, contract, assessment["application"])
    again = assess(inputs)
    found = {
        "sums": inputs.sums,
        "model": then.get("model", *assessment["model"]),
        "recomputed": all(again[name] == assessment[name] for name in again),
        "records": None,
        "bills": None,
    }
    if with_records:
        documents = list(_documents(client, then, reader, enterprise))
        found |= {"records": _rows(then, documents), "bills": _bills(then, documents)}
    return found


def _documents(client: Client, then: StateView, reader: Reader, enterprise: Enterprise) -> Iterator[Document]:
    """Every process record and bill of an enterprise in force at a height, by chain, in sealing order."""
    for chain in then.chains():
        seen: set[tuple[str, str, str]] = set()
        for identifier in enterprise.identifiers:
            for row in client.enterprise_records(chain, identifier):
                key = (row["kind"], row["issuer"], row["number"])
                if row["height"] > then.height or key in seen:
                    continue
                seen.add(key)
                doc = reader.document(chain, key)
                if doc is not None and doc.category in ("process", "bill") and doc.record.enterprise == identifier:
                    yield doc


def _rows(then: StateView, documents: list[Document]) -> list[dict[str, Any]]:
    """What each record adds to the sums: weights, delay, range, steps (contracts/aggregates.py)."""
    from contracts import aggregates
    from contracts.template import check_fields, compiled, within_ranges

    steps = steps_by_record(documents)
    rows = []
    for doc in documents:
        kind = compiled(doc.template).kinds[doc.kind]
        entry = then.read(doc.chain, "records", "record", *doc.key)
        process = doc.category == "process"
        judged, passed = steps.get(doc.id, (0, 0)) if process else (0, 0)
        rows.append(
            {
                "id": doc.id,
                "chain": doc.chain,
                "kind": doc.kind,
                "number": doc.number,
                "category": doc.category,
                "present": check_fields(kind, doc.record.fields),
                "asked": kind.asked,
                "delay": aggregates.delay_of(doc.occurred, entry["time"], entry["historical"]),
                "within": within_ranges(kind, doc.record.fields) if process else None,
                "judged": judged,
                "passed": passed,
            }
        )
    return rows


def steps_by_record(documents: list[Document]) -> dict[bytes, tuple[int, int]]:
    """(steps judged, steps passed) of each process record: a step belongs to the later one (contracts/series.py)."""
    from contracts.series import Steps
    from contracts.template import compiled

    series: dict[tuple[str, str], Steps] = {}
    for number, doc in enumerate(documents):
        if doc.category != "process":
            continue
        place = (doc.chain, doc.record.enterprise)
        if place not in series:
            series[place] = Steps(cast("Context", Scratch()), doc.record.enterprise)
        rules = compiled(doc.template).kinds[doc.kind].steady
        # The period of a step is that of its later record: numbered by record, periods say whose each step is.
        series[place].add(rules, doc.record, doc.id, doc.occurred.last, number)
    found: dict[bytes, tuple[int, int]] = {}
    for steps in series.values():
        found |= {documents[number].id: (judged, passed) for number, judged, passed in steps.finish(None).changes}
    return found


def _bills(then: StateView, documents: list[Document]) -> list[dict[str, Any]]:
    """What became of each bill, by the book."""
    rows = []
    for doc in documents:
        verdict = then.get("verdict", doc.chain, *doc.key) if doc.category == "bill" else None
        if verdict is not None:
            names = ("amount", "currency", "status", "confirmed")
            place = {"id": doc.id, "chain": doc.chain, "kind": doc.kind, "issuer": doc.record.issuer}
            place |= {"number": doc.number}
            rows.append({**place, **{name: verdict[name] for name in names}})
    return rows


def _line(now: StateView, line: dict[str, Any]) -> dict[str, Any]:
    """A line as it stands: what is granted and why, what carries it, what can be drawn."""
    from contracts import credit_line
    from contracts.evidence import Reader

    reader = Reader(now)
    deal = credit_line.deal_of(now, reader, line)
    room = credit_line.room(now, reader, line, deal)
    attained = credit_line.attained(line, deal)
    return {
        **line,
        "increments": _increments(now, line),
        "C_net": deal.net,
        "progress": deal.stages,
        "attained": sorted(attained),
        "room": room._asdict(),
    }


def _increments(now: StateView, line: dict[str, Any]) -> list[dict[str, Any]]:
    """What the newest periods brought that had new records, newest first."""
    found: list[dict[str, Any]] = []
    for period in range(line["closed_period"], max(0, line["closed_period"] - PERIODS_LOOKED_AT), -1):
        entry = now.get("increment", line["application"], period)
        if entry is not None:
            found.append(entry)
        if len(found) == PERIODS_SHOWN:
            break
    return found
