"""Who keeps a chain's documents and who may read them: from the consortium's state, for contracts and nodes alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from contracts import access, registry
from contracts.access import CONSORTIUM
from contracts.context import Reads

ALL_KINDS: Final = "*"
DEFAULT_COPIES: Final = 3


def custodians(ctx: Reads, chain: str) -> list[str]:
    """Who keeps a chain's documents: those its member appointed and that are members still, sorted.

    Where it appointed nobody: the first `custody_copies` members after its own id, in the circle of all ids, that can
    be reached (a network key) and are no observers.
    """
    members: list[str] = ctx.read(CONSORTIUM, "registry", "members")
    appointed = ctx.read(CONSORTIUM, "custody", "custodians", chain)
    if appointed is not None:
        return [member for member in appointed["custodians"] if member in members]
    copies = ctx.read(CONSORTIUM, "gov", "parameters").get("custody_copies", DEFAULT_COPIES)
    after = [member for member in members if member > chain] + [member for member in members if member < chain]
    found: list[str] = []
    for member in after:
        if len(found) == copies:
            break
        role = ctx.read(CONSORTIUM, "registry", "member", member)["role"]
        if role != "observer" and registry.has_network_key(ctx, member):
            found.append(member)
    return sorted(found)


def readers_of(rules: Mapping[str, list[str]], kinds: Iterable[str]) -> list[str]:
    """Who, beside the owner, may read an object that belongs to records of these kinds: whom each of them names."""
    named = [set(rules.get(kind, rules.get(ALL_KINDS, []))) for kind in kinds]
    return sorted(set.intersection(*named)) if named else []


def owner_of(ctx: Reads, name: str) -> str | None:
    """Whether an id is a member's (access.MEMBER), a party's (access.PARTY) or nobody's."""
    for owner in (access.MEMBER, access.PARTY):
        if ctx.read(CONSORTIUM, "registry", owner, name) is not None:
            return owner
    return None
