"""Who may connect, who votes and who may follow what, as the registry has it at this node's head.

Looked at after every commit, so looking must cost next to nothing: committed values are shared objects until they
change (`chain.chainstate.ChainState.shared`), and only when one of those that matter is another object is anything
worked out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from chain.codec import encode
from chain.transition import GOV_VALIDATORS, REGISTRY_MEMBERS, validators_at
from contracts.access import MEMBER, is_valid_at
from contracts.registry import EVERYBODY
from node.config_types import Address
from node.links import PeerAddress

Standing: TypeAlias = Literal["member", "unknown", "dismissed"]
Shared: TypeAlias = Callable[[bytes], Any]
"""The decoded newest value at an encoded state key of the consortium chain; the same object until it changes."""

NETWORK: Final = "network"


class Membership:
    """Members, their network keys and addresses, and votes.

    ``shared`` reads the consortium's state at the head, ``height`` is the head's, ``chains`` gives all its chains,
    those of dismissed members too. ``addresses`` are where this node reaches others.

    ``early_keys`` are network keys to accept although no block here has them yet: what a node needs that begins far
    behind a registry whose keys have changed. They may come from a single other node (`tally node join`), so they
    count no longer than until a block here has admitted this node's ``own_key``: by then the registry knows them, or
    they were never a member's. A founder's key is there from the start, and says nothing of that.
    """

    def __init__(
        self,
        shared: Shared,
        height: Callable[[], int],
        *,
        chains: Callable[[], Iterable[str]],
        own_key: bytes,
        addresses: Mapping[str, Address],
        early_keys: Mapping[str, bytes],
    ) -> None:
        self._shared = shared
        self._height = height
        self._chains = chains
        self._own_key = own_key
        self._addresses = dict(addresses)
        self._early_keys = dict(early_keys)
        self._watched: list[tuple[bytes, object]] = []
        self.peers: dict[str, PeerAddress] = {}
        """Every member with a valid network key, and its address where it is known."""
        self.voters: frozenset[str] = frozenset()
        """Whose votes count in the next block or the one after: a new validator is heard from the start."""
        self.refresh()

    def refresh(self) -> bool:
        """Look whether the head changed anything; True where peers or voters are not what they were."""
        if self._watched and all(self._shared(key) is value for key, value in self._watched):
            return False
        self._watched = []
        before = (self.peers, self.voters)
        height = self._height()
        validators = self._watch(GOV_VALIDATORS)
        coming = validators["next"]
        if coming is not None:  # its turn comes without a write that would be noticed
            self._watched.append((GOV_VALIDATORS, object()))
        self.voters = frozenset(
            member for at in (height + 1, height + 2) for member in validators_at(validators, at).ids
        )
        self.peers = {}
        early = self._early()
        for member in self._watch(REGISTRY_MEMBERS) or []:
            keys = [*self._valid_keys(member, height + 1), *early.get(member, [])]
            if keys:
                self.peers[member] = self._address(member, keys)
        for member in early.keys() - self.peers.keys():
            if self._shared(_member_key(member)) is None:
                self.peers[member] = self._address(member, early[member])
        return before != (self.peers, self.voters)

    def standing(self, member: str) -> Standing:
        """Whether the head has this member, does not know it, or knows that its membership has ended."""
        if member in (self._shared(REGISTRY_MEMBERS) or []):
            return "member"
        return "unknown" if self._shared(_member_key(member)) is None else "dismissed"

    def owner_of(self, key: bytes) -> Mapping[str, Any] | None:
        """The registry's entry of a key: {owner, id, purpose, from, until, …}."""
        found: Mapping[str, Any] | None = self._shared(_key_key(key))
        return found

    def accepts(self, member: str, key: bytes) -> bool:
        """Whether a network key proves this member at the head."""
        found = self.peers.get(member)
        return found is not None and key in found.keys

    def problem_of(self, member: str, key: bytes) -> str | None:
        """Why a node must not start with a network key, in one line; None where it may.

        A key that the registry does not know yet may be in a block that is not here yet.
        """
        entry = self.owner_of(key)
        if entry is None:
            return None
        if (entry["owner"], entry["id"], entry["purpose"]) != (MEMBER, member, NETWORK):
            return f"keys.network is a {entry['purpose']} key of {entry['id']}: correct `member` or keys.network"
        if self.standing(member) == "member" and entry["until"] is not None:
            return (
                f"the network key ended with block {entry['until']}: point keys.network at the one that replaced it"
            )
        return None

    def may_follow(self, member: str, chain: str) -> bool:
        """Whether a member may have a chain's transactions: validators have all, a member has its own, and else what
        the chain's member has opened (registry.open_chain)."""
        if member == chain or member in self.voters:
            return True
        opened = self._shared(encode(["registry", "opened", chain]))
        return opened is None or EVERYBODY in opened or member in opened  # [] is said: to nobody

    def closed_to(self, member: str) -> list[str]:
        """The chains that a member may not follow, sorted."""
        if member in self.voters:
            return []
        return [chain for chain in self._chains() if not self.may_follow(member, chain)]

    def _watch(self, key: bytes) -> Any:
        value = self._shared(key)
        self._watched.append((key, value))
        return value

    def _valid_keys(self, member: str, height: int) -> Iterator[bytes]:
        """A member's network keys that are valid in a block, newest first."""
        for key in reversed(self._watch(encode(["registry", "keys", MEMBER, member])) or []):
            entry = self._shared(_key_key(key))
            if entry["purpose"] == NETWORK and is_valid_at(self._watch(_key_key(key)), height):
                yield key

    def _early(self) -> dict[str, list[bytes]]:
        """The early keys that still count, by member."""
        own = self._watch(_key_key(self._own_key))
        if own is not None and own["from"] > 0:
            return {}
        return {member: [key] for member, key in self._early_keys.items() if self._shared(_key_key(key)) is None}

    def _address(self, member: str, keys: list[bytes]) -> PeerAddress:
        place = self._addresses.get(member)
        return PeerAddress(keys[0], place.host if place else "", place.port if place else 0, tuple(keys[1:]))


def with_parting(before: Mapping[str, PeerAddress], now: Mapping[str, PeerAddress]) -> dict[str, PeerAddress]:
    """``now``, and with it the members and the keys that were there ``before``."""
    merged = {**before, **now}
    for member, place in now.items():
        gone = [key for key in before[member].keys if key not in place.keys] if member in before else []
        if gone:
            merged[member] = replace(place, further_keys=(*place.further_keys, *gone))
    return merged


def problem_in_genesis(document: Mapping[str, Any], member: str, key: bytes) -> str | None:
    """Why a node must not start with another founder's network key, as the end of a line that begins with the file's
    name. The key need not be in genesis: members come, and keys change."""
    owner = next((entry["id"] for entry in document["members"] if entry["network"] == key), member)
    if owner == member:
        return None
    known = any(entry["id"] == member for entry in document["members"])
    said = "says" if known else f"has no member {member!r}, and says"
    return f"{said} that keys.network is the key of {owner}: correct `member` or keys.network in node.toml"


def _member_key(member: str) -> bytes:
    return encode(["registry", "member", member])


def _key_key(key: bytes) -> bytes:
    return encode(["registry", "key", key])
