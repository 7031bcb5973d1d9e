"""OCDS 1.1 JSON → one "contract" record for each contract of a release, release package, record or record package.

A record's compiledRelease goes before its releases. Where several releases of one package hold the same contract,
the latest by ``date`` is read; they are not merged (that is what a compiled release is for).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from contracts.record import FieldValue
from node.connectors import values
from node.connectors.draft import Party, RecordDraft, identifier
from node.connectors.errors import ConnectorError, shown
from node.connectors.strict_json import Json, Number

Object = dict[str, Json]


def matches(document: Json) -> bool:
    """Whether a JSON value has the keys of an OCDS package, record or release."""
    if not isinstance(document, dict):
        return False
    lists = any(isinstance(document.get(key), list) for key in ("releases", "records"))
    return lists or ("ocid" in document and any(key in document for key in ("tag", "compiledRelease")))


def read(document: Json) -> list[RecordDraft]:
    """The drafts of all contracts. Raises ConnectorError, NO_CONTRACT for planning, tender and award releases."""
    document = _object(document, "the document")
    version = document.get("version")
    if isinstance(version, str) and not version.startswith("1."):
        raise ConnectorError("NOT_SUPPORTED", f"OCDS version {shown(version)}", "export it as OCDS 1.1")
    latest: dict[tuple[str, str], _Found] = {}
    for release in _releases(document):
        published = _moment(release, "date", "the release's date")
        for contract in _objects(release.get("contracts"), "contracts"):
            found = _Found(published, release, contract)
            key = (_text(release, "ocid"), _text(contract, "id"))
            if key not in latest or latest[key].published <= published:
                latest[key] = found
    if not latest:
        raise ConnectorError(
            "NO_CONTRACT",
            "no contract in it (planning, tender or award only)",
            "take in the release or record that holds the signed contract",
        )
    return [_draft(found) for found in latest.values()]


class _Found(NamedTuple):
    published: str
    release: Object
    contract: Object


def _releases(document: Object) -> Iterator[Object]:
    if "records" in document:
        for record in _objects(document["records"], "records"):
            yield from _record_releases(record)
    elif "ocid" not in document:
        yield from _objects(document["releases"], "releases")
    elif "compiledRelease" in document or "releases" in document:
        yield from _record_releases(document)
    else:
        yield document


def _record_releases(record: Object) -> Iterator[Object]:
    if "compiledRelease" in record:
        yield _object(record["compiledRelease"], "compiledRelease")
        return
    releases = list(_objects(record.get("releases"), "releases"))
    if releases and all("url" in release for release in releases):
        raise ConnectorError(
            "MISSING", "its releases are only linked, and it has no compiledRelease", "export it with compiledRelease"
        )
    yield from releases


def _draft(found: _Found) -> RecordDraft:
    release, contract = found.release, found.contract
    parties = {_text(party, "id"): party for party in _objects(release.get("parties"), "parties")}
    buyer = _buyer(release, parties)
    supplier = _supplier(release, contract, parties)
    ocid = identifier(_text(release, "ocid"), "ocid")
    own = identifier(_text(contract, "id"), "the contract's id")
    signed = _moment(contract, "dateSigned", "dateSigned")
    fields: dict[str, FieldValue] = {}
    fields |= _filled("title", _text(contract, "title"))
    fields |= _filled("status", _text(contract, "status"))
    fields |= _money(contract)
    fields |= _filled("date_signed", signed)
    period = _object(contract.get("period") or {}, "period")
    fields |= _filled("period_start", _moment(period, "startDate", "period.startDate"))
    fields |= _filled("period_end", _moment(period, "endDate", "period.endDate"))
    fields |= _filled("buyer_name", buyer.name)
    fields |= _filled("supplier_name", supplier.name)
    fields |= _filled("ocid", ocid)
    occurred = signed or found.published
    if not occurred:
        raise ConnectorError("MISSING", "neither dateSigned nor the release's date", "ask for a dated contract")
    return RecordDraft(
        kind="contract",
        issuer=buyer.id,
        # Contract ids are unique only within their process (OCDS 1.1, contract.id).
        number=own if own.startswith(ocid) else identifier(f"{ocid}/{own}", "ocid and contract id"),
        enterprise=supplier,
        counterparty=buyer,
        occurred_at=values.not_before_1970(occurred, "the contract's date"),
        links=(),
        fields=fields,
    )


def _money(contract: Object) -> dict[str, FieldValue]:
    """value and currency; prepayment where the publisher adds that object to the contract (OCDS has none)."""
    value = _object(contract.get("value") or {}, "value")
    prepayment = _object(contract.get("prepayment") or {}, "prepayment")
    currency, other = _text(value, "currency"), _text(prepayment, "currency")
    if currency and other and currency != other:
        raise ConnectorError(
            "BAD_VALUE", f"value in {shown(currency)}, prepayment in {shown(other)}", "ask for one currency"
        )
    return {
        **_filled("value", _amount(value, "value.amount")),
        **_filled("currency", currency),
        **_filled("prepayment", _amount(prepayment, "prepayment.amount")),
    }


def _buyer(release: Object, parties: dict[str, Object]) -> Party:
    named = release.get("buyer")
    if named:
        return _party(_object(named, "buyer"), parties, "buyer")
    for role in ("buyer", "procuringEntity"):
        with_role = _with_role(parties, role)
        if len(with_role) == 1:
            return _party(with_role[0], parties, "buyer")
    raise ConnectorError("MISSING", "no single buyer in it", "ask the publisher to name the buyer")


def _supplier(release: Object, contract: Object, parties: dict[str, Object]) -> Party:
    """The contract's supplier: its own (an extension), else its award's, else the one party with that role."""
    suppliers = list(_objects(contract.get("suppliers"), "suppliers"))
    if not suppliers:
        awarded = _text(contract, "awardID")
        awards = [award for award in _objects(release.get("awards"), "awards") if _text(award, "id") == awarded]
        suppliers = [item for award in awards for item in _objects(award.get("suppliers"), "suppliers")]
    suppliers = suppliers or _with_role(parties, "supplier")
    if not suppliers:
        raise ConnectorError("MISSING", "no supplier in it", "take in a release that holds the contract's award")
    if len(suppliers) > 1:
        raise ConnectorError(
            "NOT_SUPPORTED",
            f"contract {shown(_text(contract, 'id'))} has {len(suppliers)} suppliers",
            "take in one contract for each enterprise that is to borrow",
        )
    return _party(suppliers[0], parties, "supplier")


def _party(reference: Object, parties: dict[str, Object], what: str) -> Party:
    """identifier "scheme:id" of the party the reference points to, else the reference's id, else its name."""
    own = _text(reference, "id")
    full = parties.get(own, reference)
    known = [_scoped(_object(full.get("identifier") or {}, "identifier"))]
    known += [_scoped(item) for item in _objects(full.get("additionalIdentifiers"), "additionalIdentifiers")]
    name = _text(full, "name") or _text(reference, "name")
    ranked = list(dict.fromkeys(filter(None, [*known, own])))
    chosen = identifier(ranked[0] if ranked else name, f"an identifier or name of the {what}")
    return Party(chosen, name, tuple(item for item in ranked if item != chosen))


def _with_role(parties: dict[str, Object], role: str) -> list[Object]:
    return [party for party in parties.values() if isinstance(party.get("roles"), list) and role in _roles(party)]


def _roles(party: Object) -> list[Json]:
    roles = party.get("roles")
    return roles if isinstance(roles, list) else []


def _scoped(item: Object) -> str:
    scheme, own = _text(item, "scheme"), _text(item, "id")
    return f"{scheme}:{own}" if scheme and own else own


def _filled(name: str, value: str) -> dict[str, FieldValue]:
    return {name: value} if value else {}


def _text(item: Object, key: str) -> str:
    """Text, or the text of a number (OCDS allows numbers as ids); "" where absent or null."""
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, "text")
    return values.clean(value)


def _amount(item: Object, what: str) -> str:
    value = item.get("amount")
    if value is None:
        return ""
    if not isinstance(value, Number):
        raise _wrong(what, "a number")
    return values.json_decimal(value, what)


def _moment(item: Object, key: str, what: str) -> str:
    raw = _text(item, key)
    return values.json_moment(raw, what).text if raw else ""


def _object(value: Json, what: str) -> Object:
    if not isinstance(value, dict):
        raise _wrong(what, "an object")
    return value


def _objects(value: Json, what: str) -> Iterator[Object]:
    if value is None:
        return
    if not isinstance(value, list):
        raise _wrong(what, "a list")
    for item in value:
        yield _object(item, f"an item of {what}")


def _wrong(what: str, expected: str) -> ConnectorError:
    return ConnectorError("BAD_VALUE", f"{what} is not {expected}", "ask the publisher for valid OCDS 1.1")
