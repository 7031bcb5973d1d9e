"""Who the members are and which network keys they have, for a node without the consortium's state.

At genesis its document says so. From then on every transaction of ``registry`` and ``gov`` passes here with the
blocks; after one, the entries that matter are asked for again as witnesses (``Follower.values``) and kept.
"""

from __future__ import annotations

from typing import Any

from chain.codec import encode, load
from chain.partial import PartialLedger
from chain.transition import GOV_PARAMETERS, GOV_VALIDATORS, REGISTRY_MEMBERS
from contracts.access import MEMBER
from node.partial.follower import Follower


class Registry:
    """The registry's entries as witnesses last showed them. ``shared`` is what ``node.membership`` reads."""

    def __init__(self, ledger: PartialLedger, follower: Follower) -> None:
        self._ledger = ledger
        self._follower = follower
        self._looked_at = -1
        self._decoded: dict[bytes, tuple[bytes | None, Any]] = {}

    def shared(self, key: bytes) -> Any:
        """The decoded value at an encoded state key, the same object until it changes."""
        raw = self._ledger.registry.get(key)
        known = self._decoded.get(key)
        if known is None or known[0] != raw:
            known = self._decoded[key] = (raw, None if raw is None else load(raw))
        return known[1]

    async def run(self) -> None:
        """Look again after each block that may have changed something, until cancelled."""
        while True:
            if self._ledger.registry_height <= self._looked_at:
                await self._follower.moved.wait()
                continue
            height = self._ledger.height
            if height:
                await self._look()
            self._looked_at = height

    async def _look(self) -> None:
        """Members and validators, the members' keys, each key's entry; kept together, for they go together."""
        found = await self._values([REGISTRY_MEMBERS, GOV_VALIDATORS, GOV_PARAMETERS])
        members = _decoded(found[REGISTRY_MEMBERS])
        found |= await self._values([encode(["registry", "member", member]) for member in members])
        lists = await self._values([encode(["registry", "keys", MEMBER, member]) for member in members])
        keys = [key for listed in lists.values() for key in _decoded(listed)]
        found |= lists | await self._values([encode(["registry", "key", key]) for key in keys])
        self._ledger.remember(found)

    async def _values(self, keys: list[bytes]) -> dict[bytes, bytes | None]:
        """Proven under the newest header; a key that came to be meanwhile is in the next look."""
        return await self._follower.values(keys) if keys else {}


def _decoded(raw: bytes | None) -> list[Any]:
    return [] if raw is None else list(load(raw))
