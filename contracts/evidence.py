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
    """An enterprise's documents and running sums. left_out: process records and bills older than the window."""

    enterprise: Enterprise
    documents: tuple[Document, ...]
    sums: dict[str, int]
    left_out: int

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

    def index_size(self, enterprise: Enterprise) -> int:
        """How many records all chains hold of an enterprise, in pages and rows: grows with every new one."""
        size = 0
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                pages, filled = self._ctx.read(chain, "records", "enterprise_pages", identifier) or (0, 0)
                size += pages * 65_536 + filled
        return size

    def gather(self, enterprise: Enterprise, window: int) -> Evidence:
        """All documents of an enterprise: at most `window` process records and bills per chain and identifier."""
        found: dict[tuple[str, NaturalKey], Document] = {}
        left_out = 0
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                counted = 0
                for key in self._keys_newest_first(chain, identifier):
                    if key[0] in NEVER_READ:
                        continue
                    if key[0] not in ALWAYS_READ:
                        counted += 1
                        if counted > window:
                            left_out += 1
                            continue
                    doc = self.document(chain, key)
                    if doc is not None:
                        found[(chain, key)] = doc
        self._add_copies(found)
        return Evidence(enterprise, tuple(found[place] for place in sorted(found)), self._sums(enterprise), left_out)

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
        pages, _ = self._ctx.read(chain, "records", "enterprise_pages", identifier) or (0, 0)
        for page in reversed(range(pages)):
            rows = self._ctx.read(chain, "records", "enterprise", identifier, page)
            yield from ((kind, issuer, number) for kind, issuer, number in reversed(rows))

    def _sums(self, enterprise: Enterprise) -> dict[str, int]:
        sums = dict.fromkeys(KEYS, 0)
        for chain in self._ctx.chains():
            for identifier in enterprise.identifiers:
                for row in self._ctx.read(chain, "records", "aggregate_index", identifier) or []:
                    part = self._ctx.read(chain, "records", "aggregate", identifier, *row)
                    for name in KEYS:
                        sums[name] += part[name]
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
