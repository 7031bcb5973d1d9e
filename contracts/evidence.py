"""Gathering what every chain holds about an enterprise, at the block being executed.

The only file of the credit contract that reads the members' chains. All of it is bounded: process records and
bills are read newest first up to the model's max_records per chain and identifier, qualifications and guarantees
always, and the running sums cost a few rows whatever the history (contracts/aggregates.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from contracts.access import CONSORTIUM
from contracts.aggregates import KEYS
from contracts.context import Context
from contracts.documents import Document, PartyOf, business_content, document, event_order
from contracts.record import NaturalKey
from contracts.records import PAGE

CHARGE_PER_DOCUMENT: Final = 4  # units, beside the read itself
ALWAYS_READ: Final = ("qualification", "guarantee")
NEVER_READ: Final = ("contract", "loan")  # read by natural key where they are cited


class Enterprise(NamedTuple):
    """Who is judged. id is the party's, or the identifier itself when no party is registered for it."""

    id: str
    registered: bool
    identifiers: tuple[str, ...]
    onboarded_ms: int | None


class Evidence(NamedTuple):
    """An enterprise's documents and running sums.

    left_out: process records and bills older than the window. cut: height up to which records may be among those
    left out; 0 when none is.
    """

    enterprise: Enterprise
    documents: tuple[Document, ...]
    sums: dict[str, int]
    left_out: int
    cut: int

    def of(self, category: str) -> tuple[Document, ...]:
        """Documents of a category, in event order."""
        return tuple(sorted((doc for doc in self.documents if doc.category == category), key=event_order))


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

    def index_length(self, chain: str, identifier: str) -> int:
        """How many records a chain's index holds of an identifier: grows with every new one."""
        pages = self._ctx.read(chain, "records", "enterprise_pages", identifier) or 0
        if pages == 0:
            return 0
        return (pages - 1) * PAGE + len(self._ctx.read(chain, "records", "enterprise", identifier, pages - 1))

    def index_rows(self, chain: str, identifier: str, start: int, end: int) -> Iterable[NaturalKey]:
        """Rows start to end of a chain's index of an identifier, in sealing order."""
        for page in range(start // PAGE, -(-end // PAGE)):
            rows = self._ctx.read(chain, "records", "enterprise", identifier, page)
            part = rows[max(start - page * PAGE, 0) : end - page * PAGE]
            yield from ((kind, issuer, number) for kind, issuer, number in part)

    def with_copies(self, documents: Iterable[Document]) -> tuple[Document, ...]:
        """Documents and, of bills among them, the copies on other members' chains."""
        found = {(doc.chain, doc.key): doc for doc in documents}
        self._add_copies(found)
        return tuple(found[place] for place in sorted(found))

    def gather(self, enterprise: Enterprise, window: int) -> Evidence:
        """All documents of an enterprise: at most `window` process records and bills per chain and identifier."""
        found: dict[tuple[str, NaturalKey], Document] = {}
        left_out = cut = 0
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                keys = [key for key in self._keys_newest_first(chain, identifier) if key[0] not in NEVER_READ]
                counted = [key for key in keys if key[0] not in ALWAYS_READ]
                for key in [*counted[:window], *(key for key in keys if key[0] in ALWAYS_READ)]:
                    doc = self.document(chain, key)
                    if doc is not None:
                        found[(chain, key)] = doc
                if len(counted) > window:
                    left_out += len(counted) - window
                    oldest = found.get((chain, counted[window - 1]))
                    cut = max(cut, oldest.height if oldest else 0)
        self._add_copies(found)
        documents = tuple(found[place] for place in sorted(found))
        return Evidence(enterprise, documents, self._sums(enterprise), left_out, cut)

    def _add_copies(self, found: dict[tuple[str, NaturalKey], Document]) -> None:
        """The same bill on another member's chain counts, whomever that one says it belongs to."""
        bills = sorted({key for (_, key), doc in found.items() if doc.category == "bill"})
        for key in bills:
            for chain in self._ctx.chains():
                if (chain, key) not in found:
                    doc = self.document(chain, key)
                    if doc is not None:
                        found[(chain, key)] = doc

    def _keys_newest_first(self, chain: str, identifier: str) -> Iterable[NaturalKey]:
        pages = self._ctx.read(chain, "records", "enterprise_pages", identifier) or 0
        for page in reversed(range(pages)):
            rows = self._ctx.read(chain, "records", "enterprise", identifier, page)
            yield from ((kind, issuer, number) for kind, issuer, number in reversed(rows))

    def _sums(self, enterprise: Enterprise) -> dict[str, int]:
        sums = dict.fromkeys(KEYS, 0)
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                for row in self._ctx.read(chain, "records", "aggregate_index", identifier) or []:
                    part = self._ctx.read(chain, "records", "aggregate", identifier, *row)
                    for name, value in zip(KEYS, part, strict=True):
                        sums[name] += value
        return sums

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
