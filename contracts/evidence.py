"""What every chain holds about an enterprise, read at the block being executed.

The only file of the credit contract that reads the members' chains. Nothing here walks a history: the running sums
of contracts/aggregates.py cost one row a chain and identifier, and papers are read by their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from contracts.access import CONSORTIUM
from contracts.aggregates import KEYS
from contracts.context import Context
from contracts.documents import Document, PartyOf, business_content, document, event_order, party_key
from contracts.record import NaturalKey

CHARGE_PER_DOCUMENT: Final = 4  # units, beside the read itself
SAMPLES: Final = 4  # of one measure


class Enterprise(NamedTuple):
    """Who is judged. id is the party's, or the identifier itself when no party is registered for it."""

    id: str
    registered: bool
    identifiers: tuple[str, ...]
    onboarded_ms: int | None


class Sample(NamedTuple):
    """A record that lowers a measure: where it lies and what it is."""

    chain: str
    id: bytes
    kind: str
    number: str


class Reader:
    """Reads of one transaction or hook, each template and party looked up once."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._templates: dict[tuple[str, int], dict[str, Any]] = {}
        self._parties: dict[str, str | None] = {}

    def enterprise(self, identifier: str) -> Enterprise:
        """The party behind a party id or an identifier of documents, with all its identifiers."""
        party = self._registry("party", identifier)
        if party is None:
            known = self._registry("identifier", identifier)
            party = None if known is None else self._registry("party", known)
        if party is None:
            return Enterprise(identifier, False, (identifier,), None)
        return Enterprise(party["id"], True, tuple(sorted(party["identifiers"])), party["onboarded"])

    def universe(self, identifier: str) -> Enterprise:
        """The same by an identifier as it stands in documents only: a party id there is a text like any other."""
        known = self._party_of(identifier)
        return Enterprise(identifier, False, (identifier,), None) if known is None else self.enterprise(known)

    def identifiers_of(self, identifier: str) -> tuple[str, ...]:
        """All identifiers of the party behind an identifier as it stands in documents; itself when unregistered."""
        return self.universe(identifier).identifiers

    @property
    def party_of(self) -> PartyOf:
        """Party id behind an identifier, None when nobody has registered it."""
        return self._party_of

    def document(self, chain: str, key: NaturalKey) -> Document | None:
        """Latest version of a record on a member's chain, or None."""
        entry = self._ctx.read(chain, "records", "record", *key)
        if entry is None:
            return None
        self._ctx.charge(CHARGE_PER_DOCUMENT)
        array = entry["record"]
        return document(chain, entry, self._template(array[7], array[8]))

    def find(self, key: NaturalKey) -> tuple[Document, ...]:
        """The record of a natural key on every chain that has it, in chain order."""
        found = (self.document(chain, key) for chain in self._ctx.chains())
        return tuple(doc for doc in found if doc is not None)

    def sums(self, enterprise: Enterprise) -> dict[str, int]:
        """The running sums of an enterprise by aggregates.KEYS: over all chains, identifiers and time."""
        return _added(entry["total"] for _, entry in self._sums(enterprise))

    def period_sums(self, enterprise: Enterprise, number: int) -> dict[str, int]:
        """The same over the records of one period: the open one or the one before, else nothing."""
        return _added(
            values for _, entry in self._sums(enterprise) for period, values in entry["periods"] if period == number
        )

    def samples(self, enterprise: Enterprise) -> dict[str, tuple[Sample, ...]]:
        """Records that lower a measure (conformity, timeliness, accuracy), at most SAMPLES of each."""
        found: dict[str, list[Sample]] = {}
        for chain, entry in self._sums(enterprise):
            for measure in sorted(entry["samples"]):
                for record_id, kind, number in entry["samples"][measure]:
                    found.setdefault(measure, []).append(Sample(chain, record_id, kind, number))
        return {measure: tuple(rows[:SAMPLES]) for measure, rows in found.items()}

    def standing(self, enterprise: Enterprise) -> tuple[Document, ...]:
        """Qualifications and guarantees of an enterprise, in event order; the newest 256 a chain and identifier."""
        found: dict[tuple[str, NaturalKey], Document] = {}
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                for kind, issuer, number in self._ctx.read(chain, "records", "standing", identifier) or []:
                    doc = self.document(chain, (kind, issuer, number))
                    if doc is not None:
                        found[(chain, doc.key)] = doc
        return tuple(sorted(found.values(), key=event_order))

    def _sums(self, enterprise: Enterprise) -> Iterator[tuple[str, dict[str, Any]]]:
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                entry = self._ctx.read(chain, "records", "sums", identifier)
                if entry is not None:
                    yield chain, entry

    def _template(self, template: str, version: int) -> dict[str, Any]:
        name = (template, version)
        if name not in self._templates:
            self._templates[name] = self._ctx.read(CONSORTIUM, "credit", "template", template, version)
        return self._templates[name]

    def _party_of(self, identifier: str) -> str | None:
        if identifier not in self._parties:
            self._parties[identifier] = self._registry("identifier", identifier) if identifier else None
        return self._parties[identifier]

    def _registry(self, *key: str) -> Any:
        return self._ctx.read(CONSORTIUM, "registry", *key)


def keys_of(reader: Reader, issuer: str) -> tuple[str, ...]:
    """Every text that may stand for an issuer in a key: its party's, and each identifier from before it had one."""
    now = party_key(issuer, reader.party_of)
    return tuple(dict.fromkeys([now, *(f"identifier {other}" for other in reader.identifiers_of(issuer))]))


def _added(parts: Iterable[list[int]]) -> dict[str, int]:
    sums = dict.fromkeys(KEYS, 0)
    for part in parts:
        for name, value in zip(KEYS, part, strict=True):
            sums[name] += value
    return sums


def corroborated_fields(
    doc: Document, copies: Iterable[Document], confirmations: Iterable[dict[str, Any]]
) -> set[str]:
    """Fields of a record that a second, independent signer stands for (DOMAIN 3).

    copies: the same natural key on other members' chains; a field with the same value there is corroborated.
    confirmations: of this very record id; one without fields covers all.
    """
    fields = set(doc.record.fields)
    covered: set[str] = set()
    for confirmation in confirmations:
        covered |= fields & set(confirmation["fields"]) if confirmation["fields"] else fields
    for copy in copies:
        if copy.chain != doc.chain and business_content(copy)[:3] == business_content(doc)[:3]:
            other = copy.record.fields
            covered |= {name for name in fields if other.get(name) == doc.record.fields[name]}
    return covered


def weights(doc: Document, fields: Iterable[str] | None = None) -> int:
    """Sum of the template weights of a record's open fields that are present, or of those among `fields`."""
    asked = doc.kind_spec["fields"]
    chosen = set(doc.record.fields) if fields is None else set(fields) & set(doc.record.fields)
    return sum(rule["weight"] for name, rule in asked.items() if name in chosen and rule.get("open", True))


def weight_asked(doc: Document) -> int:
    """Sum of the template weights of all open fields of a record's kind."""
    return sum(rule["weight"] for rule in doc.kind_spec["fields"].values() if rule.get("open", True))
