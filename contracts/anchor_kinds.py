"""The kinds of outside places that anchors go to: what a confirmation of each must say, and how many are enough.

===========  =========  ==========================================================================================
kind         class      fields of its own, beside backend, size, root, public_time and proof
===========  =========  ==========================================================================================
evm          chain      chain_id (EIP-155), block_number, block_hash, tx_hash (32 bytes each), sender (20 bytes)
ots          chain      block_number, block_hash: the Bitcoin block's, 32 bytes as SHA-256 gives them
rfc3161      authority  authority: SHA-256 of the DER root certificate that the token leads to; development: whether
                        the token itself says that it is for trying things out (chain.rfc3161)
witness      witness    witness: its Ed25519 key, 32 bytes; development: whether its name is one for trials
===========  =========  ==========================================================================================

A *place* is one of them that counts by itself: one public chain, one authority, one witness. The policy says how many
different places of each class must have a checkpoint before it counts as anchored. Development chains, authorities
and witnesses are places, but count only where the consortium's parameters say so: they prove nothing outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from contracts import arguments
from contracts.context import Args, Value
from contracts.errors import ContractError

CHAIN: Final = "chain"
AUTHORITY: Final = "authority"
WITNESS: Final = "witness"

NEEDS: Final[dict[str, tuple[str, int]]] = {
    CHAIN: ("anchor_chains", 1),
    AUTHORITY: ("anchor_authorities", 0),
    WITNESS: ("anchor_witnesses", 0),
}
"""Class → parameter with the number of places needed, and what it is where the parameters do not say."""
DEVELOPMENT_PARAMETER: Final = "anchor_development"
"""1 where development chains count, as in a consortium made for trying things out."""

DEVELOPMENT_CHAINS: Final = (1_337, 31_337, 31_338)
"""Chain ids of machines that somebody runs alone; a test holds them to those of chain.evm."""
DEVELOPMENT: Final = ":development"
WORK_BYTES: Final = 8
"""A real Bitcoin block's hash ends in more zero bytes than these (as SHA-256 gives it: 64 bits of work and more)."""

_SIZES: Final = {"block_hash": 32, "tx_hash": 32, "sender": 20, "authority": 32, "witness": 32}
_MOST: Final = 2**53


class Kind(NamedTuple):
    """group: the class that it counts in; fields: those of its own, all required."""

    group: str
    fields: tuple[str, ...]


class Reached(NamedTuple):
    """The largest checkpoint of a place or class, in blocks, and the block time (ms) it was confirmed at."""

    size: int
    time: int


KINDS: Final[dict[str, Kind]] = {
    "evm": Kind(CHAIN, ("chain_id", "block_number", "block_hash", "tx_hash", "sender")),
    "ots": Kind(CHAIN, ("block_number", "block_hash")),
    "rfc3161": Kind(AUTHORITY, ("authority", "development")),
    "witness": Kind(WITNESS, ("witness", "development")),
}


def fields(args: Args, kind: str) -> dict[str, Value]:
    """The kind's own fields, checked for form. Raises ContractError."""
    found: dict[str, Value] = {}
    for name in KINDS[kind].fields:
        if name == "development":
            found[name] = arguments.boolean(args[name], name)
        elif name in _SIZES:
            found[name] = arguments.binary(args[name], name, _SIZES[name])
        else:
            found[name] = arguments.integer(args[name], name, 0, _MOST)
    return found


def kind_of(args: Args) -> str:
    """The confirmation's kind. Raises ContractError UNKNOWN_BACKEND."""
    kind = args.get("backend")
    if type(kind) is not str or kind not in KINDS:
        raise ContractError("UNKNOWN_BACKEND", f"backend must be one of {', '.join(KINDS)}")
    return kind


def place(kind: str, found: Mapping[str, Value]) -> str:
    """The place of a confirmation's fields: ``evm:1``, ``ots:bitcoin``, ``rfc3161:<hex>``, ``witness:<hex>``.

    One that is for trying things out has DEVELOPMENT after it, so that it never takes the other's place.
    """
    match kind:
        case "evm":
            base, development = f"evm:{found['chain_id']}", found["chain_id"] in DEVELOPMENT_CHAINS
        case "ots":
            base, development = "ots:bitcoin", any(found["block_hash"][-WORK_BYTES:])
        case _:
            base, development = f"{kind}:{found[KINDS[kind].fields[0]].hex()}", found["development"]
    return base + DEVELOPMENT if development else base


def is_development(where: str) -> bool:
    """Whether a place is somebody's own, for trying things out."""
    return where.endswith(DEVELOPMENT)


def group_of(where: str) -> str:
    """The class that a place counts in."""
    return KINDS[where.partition(":")[0]].group


def needs(parameters: Mapping[str, Value]) -> dict[str, int]:
    """How many places of each class are needed, classes of which none is needed left out."""
    found = {group: parameters.get(name, default) for group, (name, default) in NEEDS.items()}
    return {group: count for group, count in found.items() if count > 0}


def covered(reached: Mapping[str, Value], parameters: Mapping[str, Value]) -> dict[str, Reached]:
    """How far each needed class has come: the checkpoint that as many different places have as the policy needs.

    reached: place → [size, time], as the contract keeps it.
    """
    development = bool(parameters.get(DEVELOPMENT_PARAMETER, 0))
    found: dict[str, Reached] = {}
    for group, count in sorted(needs(parameters).items()):
        sizes = sorted(
            [
                Reached(*entry)
                for where, entry in sorted(reached.items())
                if group_of(where) == group and (development or not is_development(where))
            ],
            reverse=True,
        )
        found[group] = sizes[count - 1] if len(sizes) >= count else Reached(0, 0)
    return found
