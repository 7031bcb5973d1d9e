"""What every UBL 2.0/2.1 reader shares: finding elements, parties, document lines and references.

Paths are written "cac:Party/cbc:ID" with the two standard prefixes (UBL 2.1, § 3.2). ``ubl_*.py`` hold one
document family each. Rules stated here are explained in ``docs/data-exchange.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lxml import etree

from contracts.record import FieldValue
from node.connectors import values
from node.connectors.draft import Link, Party, check_lines, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown

NAMESPACE: Final = "urn:oasis:names:specification:ubl:schema:xsd:"
PREFIXES: Final = {
    "cac": NAMESPACE + "CommonAggregateComponents-2",
    "cbc": NAMESPACE + "CommonBasicComponents-2",
    "ext": NAMESPACE + "CommonExtensionComponents-2",
}

# UNTDID 1001 document type codes that name a kind of record.
DOCUMENT_TYPES: Final = {
    "220": "order",
    "315": "contract",
    "351": "despatch",
    "380": "invoice",
    "632": "receipt",
}


class Reading:
    """One document being read: its fields so far, and the notes on how it was read."""

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self.fields: dict[str, FieldValue] = {}
        self.notes: list[str] = []

    def put(self, name: str, value: str) -> None:
        """Fill a field, unless the file lacks it."""
        if value:
            self.fields[name] = value

    def date(self, element: etree._Element, date_path: str, time_path: str | None = None) -> str:
        """A date, or an instant where the file has time and zone; "" where it has neither."""
        day = text(element, date_path)
        if not day:
            return ""
        time = text(element, time_path) if time_path else ""
        moment = values.moment(day, time or None, _label(date_path))
        if moment.zone_dropped:
            self.notes.append(f"{_label(date_path)}: the time zone of {shown(day)} was dropped, the date kept")
        return moment.text

    def first_date(self, element: etree._Element, paths: Sequence[tuple[str, str | None]]) -> str:
        """The first of several dates that the file has."""
        for date_path, time_path in paths:
            if found := self.date(element, date_path, time_path):
                return found
        return ""

    def number(self) -> str:
        """The document's own number, cbc:ID."""
        return identifier(text(self.root, "cbc:ID"), "the document's number (cbc:ID)")

    def issue_date(self) -> str:
        """cbc:IssueDate with cbc:IssueTime; also fills issue_date. Every UBL document read here must have it."""
        issued = self.date(self.root, "cbc:IssueDate", "cbc:IssueTime")
        if not issued:
            raise ConnectorError("MISSING", "cbc:IssueDate is missing", "ask the sender for a dated document")
        self.put("issue_date", values.not_before_1970(issued, "cbc:IssueDate"))
        return issued

    def put_lines(self, lines: list[list[str]]) -> None:
        """Fill "lines", unless the document has none."""
        if lines:
            self.fields["lines"] = check_lines(lines)


def local_name(element: etree._Element) -> tuple[str, str]:
    """(namespace, local name) of an element; the namespace is "" where there is none."""
    name = etree.QName(element)
    return name.namespace or "", name.localname


def all_of(element: etree._Element, path: str) -> list[etree._Element]:
    """Every element at a path."""
    return element.findall(path, PREFIXES)


def first(element: etree._Element, path: str) -> etree._Element | None:
    """The first element at a path that UBL allows more than once."""
    return element.find(path, PREFIXES)


def one(element: etree._Element, path: str) -> etree._Element | None:
    """The element at a path that may hold one at most; two of them make a document ambiguous."""
    found = all_of(element, path)
    if len(found) > 1:
        raise ConnectorError("BAD_VALUE", f"{path} stands {len(found)} times", "keep the one that is meant")
    return found[0] if found else None


def text(element: etree._Element, path: str) -> str:
    """The cleaned text at a path that may hold one at most; "" where it is absent or empty."""
    return _content(one(element, path))


def first_text(element: etree._Element, path: str) -> str:
    """The first text that is not empty, at a path that UBL allows more than once."""
    return next((found for found in map(_content, all_of(element, path)) if found), "")


def decimal(element: etree._Element, path: str) -> str:
    """The decimal number at a path, as in the file; "" where it is absent."""
    raw = text(element, path)
    return values.decimal_text(raw, _label(path)) if raw else ""


def scoped(element: etree._Element | None) -> str:
    """An identifier with its scheme, "GLN:7300070011115", or bare where the file gives no scheme."""
    value = _content(element)
    scheme = values.clean(element.get("schemeID", "")) if element is not None else ""
    return f"{scheme}:{value}" if value and scheme else value


def party(element: etree._Element, paths: Sequence[str], what: str) -> Party:
    """The party at the first path that the document has; ConnectorError MISSING where it has none of them.

    A path names the element of type PartyType itself, or the CustomerParty/SupplierParty around it.
    """
    found = optional_party(element, paths, what)
    if found is None:
        raise ConnectorError("MISSING", f"the {what} is missing", "ask the sender for a document that names it")
    return found


def optional_party(element: etree._Element, paths: Sequence[str], what: str) -> Party | None:
    """The party at the first path that the document has, or None."""
    for path in paths:
        holder = first(element, path)
        if holder is not None:
            inner = one(holder, "cac:Party")
            return _party(inner if inner is not None else holder, what)
    return None


def _party(element: etree._Element, what: str) -> Party:
    """The first that the file has: legal entity number → party identification with a scheme → tax number →
    party identification without one (somebody's own customer number) → name."""
    legal = [scoped(found) for found in all_of(element, "cac:PartyLegalEntity/cbc:CompanyID")]
    tax = [scoped(found) for found in all_of(element, "cac:PartyTaxScheme/cbc:CompanyID")]
    given = all_of(element, "cac:PartyIdentification/cbc:ID")
    with_scheme = [scoped(found) for found in given if found.get("schemeID")]
    bare = [scoped(found) for found in given if not found.get("schemeID")]
    known = list(dict.fromkeys(filter(None, [*legal, *with_scheme, *tax, *bare])))
    name = party_name(element)
    chosen = identifier(known[0] if known else name, f"an identifier or name of the {what}")
    return Party(chosen, name, tuple(found for found in known if found != chosen))


def party_name(element: etree._Element) -> str:
    """Trading name, else registered name, else the name the tax office has; "" where the file has none."""
    paths = (
        "cac:PartyName/cbc:Name",
        "cac:PartyLegalEntity/cbc:RegistrationName",
        "cac:PartyTaxScheme/cbc:RegistrationName",
    )
    return next((found for path in paths if (found := first_text(element, path))), "")


def put_private(reading: Reading, role: str, paths: Sequence[str], *, within: etree._Element | None = None) -> None:
    """What is nobody's business but the parties': ``<role>_contact`` and ``<role>_address`` of the first party there
    is at the paths (as for `party`), in the document or ``within`` an element. Every template seals both."""
    start = reading.root if within is None else within
    holder = next((found for path in paths if (found := first(start, path)) is not None), None)
    if holder is None:
        return
    inner = one(holder, "cac:Party")
    element = inner if inner is not None else holder
    contact = first(element, "cac:Contact")
    if contact is not None:
        said = [first_text(contact, f"cbc:{part}") for part in ("Name", "Telephone", "ElectronicMail")]
        reading.put(f"{role}_contact", ", ".join(filter(None, said)))
    reading.put(f"{role}_address", address(first(element, "cac:PostalAddress")))


def put_payment(reading: Reading) -> None:
    """How a bill or order is to be paid: terms, payment reference, payee's account and bank; templates seal them."""
    account = "cac:PaymentMeans/cac:PayeeFinancialAccount"
    bank = f"{account}/cac:FinancialInstitutionBranch"
    for name, paths in (
        ("payment_terms", ("cac:PaymentTerms/cbc:Note",)),
        ("payment_reference", ("cac:PaymentMeans/cbc:PaymentID",)),
        ("payee_account", (f"{account}/cbc:ID",)),
        ("payee_bank", (f"{bank}/cbc:ID", f"{bank}/cac:FinancialInstitution/cbc:ID")),
    ):
        reading.put(name, next((found for path in paths if (found := first_text(reading.root, path))), ""))


def address(element: etree._Element | None) -> str:
    """A postal address on one line, "" where there is none."""
    if element is None:
        return ""
    parts = ("StreetName", "BuildingNumber", "AdditionalStreetName", "PostalZone", "CityName", "CountrySubentity")
    found = [first_text(element, f"cbc:{part}") for part in parts]
    lines = [_content(line) for line in all_of(element, "cac:AddressLine/cbc:Line")]
    country = first_text(element, "cac:Country/cbc:IdentificationCode")
    return ", ".join(filter(None, [*found, *lines, country]))


def currency(root: etree._Element, amounts: Sequence[str]) -> str:
    """The document's currency: cbc:DocumentCurrencyCode, else the currencyID its amounts carry.

    amounts: paths of the amounts that are read. Raises ConnectorError where one is in another currency: figures
    of two currencies never enter one record.
    """
    stated = text(root, "cbc:DocumentCurrencyCode")
    carried = [values.clean(found.get("currencyID", "")) for path in amounts for found in all_of(root, path)]
    named = list(dict.fromkeys(filter(None, [stated, *carried])))
    if len(named) > 1:
        raise ConnectorError(
            "BAD_VALUE",
            f"amounts in {' and '.join(map(shown, named[:3]))}",
            "ask the sender for a document in one currency",
        )
    return named[0] if named else ""


def line(reading: Reading, element: etree._Element, quantity_path: str, amount_path: str | None) -> list[str]:
    """One row: [line_id, item_id, quantity, unit, price, amount], "" for what the file lacks.

    line_id is the order's line where the document refers to one, else its own: so that a line keeps one name
    from order to invoice.
    """
    own = text(element, "cbc:ID")
    ordered = first_text(element, "cac:OrderLineReference/cbc:LineID")
    quantity = one(element, quantity_path)
    unit = values.clean(quantity.get("unitCode", "")) if quantity is not None else ""
    item = first(element, "cac:Item")
    return [
        identifier(ordered or own, "a line's number (cbc:ID)"),
        item_id(item) if item is not None else "",
        decimal(element, quantity_path),
        unit,
        _unit_price(reading, element, own, unit),
        decimal(element, amount_path) if amount_path else "",
    ]


def item_id(item: etree._Element) -> str:
    """Seller's number → standard number ("GTIN:…") → buyer's number; "" where the item has none."""
    for path in ("cac:SellersItemIdentification", "cac:StandardItemIdentification", "cac:BuyersItemIdentification"):
        if found := scoped(one(item, path + "/cbc:ID")):
            return identifier(found, "an item's number")
    return ""


def references(root: etree._Element, path: str, relation: str, issuer: str) -> list[Link]:
    """Links to the documents that references at a path name; an IssuerParty in the reference goes first."""
    links: list[Link] = []
    for reference in all_of(root, path):
        number = text(reference, "cbc:ID")
        if number:
            named = optional_party(reference, ["cac:IssuerParty"], "issuer of a reference")
            links.append((relation, named.id if named else issuer, identifier(number, "a reference")))
    return links


def typed_references(root: etree._Element, path: str, issuers: dict[str, str]) -> list[Link]:
    """Links from references that say what they refer to by a UNTDID 1001 code; others are left alone."""
    links: list[Link] = []
    for reference in all_of(root, path):
        relation = DOCUMENT_TYPES.get(text(reference, "cbc:DocumentTypeCode"))
        number = text(reference, "cbc:ID")
        if relation and number:
            named = optional_party(reference, ["cac:IssuerParty"], "issuer of a reference")
            issuer = named.id if named else issuers.get(relation, "")
            links.append((relation, issuer, identifier(number, "a reference")))
    return links


def trade_links(root: etree._Element, line_path: str, buyer: str, seller: str) -> tuple[Link, ...]:
    """Every reference of a document in the order-to-invoice chain, from its head and from its lines.

    Orders and receipts are the buyer's numbers, despatches and invoices the seller's, contracts the buyer's.
    """
    issuers = {"contract": buyer, "order": buyer, "receipt": buyer, "despatch": seller, "invoice": seller}
    links = typed_references(root, "cac:AdditionalDocumentReference", issuers)
    for path, relation in (
        ("cac:Contract", "contract"),
        ("cac:ContractDocumentReference", "contract"),
        ("cac:OrderReference", "order"),
        ("cac:DespatchDocumentReference", "despatch"),
        ("cac:ReceiptDocumentReference", "receipt"),
        ("cac:BillingReference/cac:InvoiceDocumentReference", "invoice"),
        (f"{line_path}/cac:OrderLineReference/cac:OrderReference", "order"),
        (f"{line_path}/cac:DespatchLineReference/cac:DocumentReference", "despatch"),
        (f"{line_path}/cac:ReceiptLineReference/cac:DocumentReference", "receipt"),
        (f"{line_path}/cac:BillingReference/cac:InvoiceDocumentReference", "invoice"),
    ):
        links += references(root, path, relation, issuers[relation])
    return sorted_links(links)


def _unit_price(reading: Reading, element: etree._Element, own: str, unit: str) -> str:
    """The price of one unit. A price for a base quantity is divided where that is exact, else left out."""
    price = decimal(element, "cac:Price/cbc:PriceAmount")
    base = decimal(element, "cac:Price/cbc:BaseQuantity")
    if not price or not base:
        return price
    measure = one(element, "cac:Price/cbc:BaseQuantity")
    base_unit = values.clean(measure.get("unitCode", "")) if measure is not None else ""
    if base_unit and unit and base_unit != unit:
        reading.notes.append(
            f"line {shown(own)}: priced per {shown(base_unit)}, counted in {shown(unit)}: price left out"
        )
        return ""
    if values.is_one(base):
        return price
    quotient = values.exact_quotient(price, base)
    if quotient is None:
        reading.notes.append(f"line {shown(own)}: {price} per {base} is no finite unit price: price left out")
    return quotient or ""


def _content(element: etree._Element | None) -> str:
    if element is None:
        return ""
    if len(element):
        raise ConnectorError(
            "BAD_VALUE", f"{local_name(element)[1]} holds elements where text belongs", "ask the sender for valid UBL"
        )
    return values.clean(element.text or "")


def _label(path: str) -> str:
    return path.rpartition(":")[2]
