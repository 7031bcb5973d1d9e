"""Who the documents are about: parties with all their identifiers, found in what the documents say.

Two mentions are one party when they share an identifier that has a scheme, or one without and a name too. Those
who face each other in a document (seller and buyer, guarantor and guaranteed) are never made one: an identifier
that both are given stays with the one that has it as its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from node.connectors import RecordDraft

ENTERPRISE, BUYER, GUARANTOR, BENEFICIARY = "enterprise", "buyer", "guarantor", "beneficiary"
ROLES: Final = (ENTERPRISE, BUYER, GUARANTOR, BENEFICIARY)
MAX_ID: Final = 40


class Person(NamedTuple):
    """A party to register. id: made from its name; label: its name, told apart from others of that name."""

    id: str
    name: str
    label: str
    identifiers: tuple[str, ...]
    roles: tuple[str, ...]

    @property
    def signs(self) -> bool:
        """Whether it acts in the story, so needs a key: enterprises apply, buyers confirm."""
        return ENTERPRISE in self.roles or BUYER in self.roles


class Cast(NamedTuple):
    """All parties, in the order of their first mention, and who is behind an identifier that records carry."""

    people: tuple[Person, ...]
    by_identifier: Mapping[str, Person]


class _Mention(NamedTuple):
    role: str
    own: str
    """The identifier that records carry."""
    name: str
    others: tuple[str, ...]


def cast_of(drafts: Iterable[RecordDraft], taken: Collection[str]) -> Cast:
    """The parties of these drafts. taken: ids that are in use, such as the members'."""
    scenes = [_mentions(draft) for draft in drafts]
    mentions = [mention for scene in scenes for mention in scene]
    group = _groups(mentions, {frozenset((a.own, b.own)) for scene in scenes for a in scene for b in scene})
    gathered: dict[str, list[_Mention]] = {}
    for mention in mentions:
        gathered.setdefault(group[mention.own], []).append(mention)
    owner = dict(group)
    for root, listed in gathered.items():
        for identifier in (other for mention in listed for other in mention.others):
            owner.setdefault(identifier, root)
    ids = set(taken)
    names = {root: next((item.name for item in listed if item.name), root) for root, listed in gathered.items()}
    people: dict[str, Person] = {}
    for root, listed in gathered.items():
        name, unique = names[root], list(names.values()).count(names[root]) == 1
        known = dict.fromkeys(identifier for mention in listed for identifier in (mention.own, *mention.others))
        roles = {mention.role for mention in listed}
        own = _fresh(name, ids)
        people[root] = Person(
            own,
            name,
            name if unique else f"{name} ({own})",
            tuple(identifier for identifier in known if owner[identifier] == root),
            tuple(role for role in ROLES if role in roles),
        )
    return Cast(tuple(people.values()), {identifier: people[root] for identifier, root in owner.items()})


def _mentions(draft: RecordDraft) -> list[_Mention]:
    """Those who face each other in one document."""
    found = [_Mention(ENTERPRISE, draft.enterprise.id, draft.enterprise.name, draft.enterprise.identifiers)]
    guarantee = draft.kind == "guarantee"
    if draft.counterparty is not None:
        role = BENEFICIARY if guarantee else BUYER
        party = draft.counterparty
        found.append(_Mention(role, party.id, party.name, party.identifiers))
    if guarantee:
        name = draft.fields.get("guarantor_name", "")
        found.append(_Mention(GUARANTOR, draft.issuer, name if isinstance(name, str) else "", ()))
    return found


def _groups(mentions: list[_Mention], rivals: set[frozenset[str]]) -> dict[str, str]:
    """Own identifier → the own identifier that stands for its party."""
    group = {mention.own: mention.own for mention in mentions}
    members = {own: {own} for own in group}
    holder: dict[str, _Mention] = {}
    for mention in mentions:  # who has it as its own comes before who lists it among others
        holder.setdefault(mention.own, mention)
    for mention in mentions:
        for identifier in (mention.own, *mention.others):
            first = holder.setdefault(identifier, mention)
            one, other = group[first.own], group[mention.own]
            told_apart = any(frozenset((a, b)) in rivals for a in members[one] for b in members[other])
            certain = ":" in identifier or _same_name(first.name, mention.name)
            if one == other or told_apart or not certain:
                continue
            members[one] |= members.pop(other)
            group.update(dict.fromkeys(members[one], one))
    return group


def _same_name(one: str, other: str) -> bool:
    return bool(one) and " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _fresh(name: str, taken: set[str]) -> str:
    """A short id made from a name, not taken yet; it is taken then."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:MAX_ID].rstrip("-") or "party"
    found, number = stem, 1
    while found in taken:
        number += 1
        found = f"{stem}-{number}"
    taken.add(found)
    return found
