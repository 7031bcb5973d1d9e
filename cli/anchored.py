"""Tying proofs to a public chain: for each proved block the confirmed anchor that covers it, and the path to it.

The consortium's log is rebuilt here from the node's block headers and must give the anchored root: the node is asked
for nothing that is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cli.bundle import AnchorItem
from cli.errors import CliError
from cli.output import note

if TYPE_CHECKING:
    from chain.checkpoint import Log
    from cli.session import Session
    from tallystick.client import Client

# Places in a header array (chain/block.py): what the header of block h + 1 says of block h.
PARENT_HASH: Final = 4
PARENT_CERTIFICATE_HASH: Final = 5
TOLD_EVERY: Final = 1_000


def ties(session: Session, proofs: list[bytes]) -> list[AnchorItem]:
    """One tie for each proof, in order. Raises CliError for a block that no confirmed anchor covers yet."""
    from chain.block import Header
    from chain.checkpoint import Log
    from chain.codec import decode

    client = session.client
    anchors = _confirmed(client)
    log = Log()
    found = []
    for place, proof in enumerate(proofs):
        height = Header.decode(decode(proof)["header"]).height
        anchor = next((row for row in anchors if row["size"] >= height and row["backend"] == "evm"), None)
        if anchor is None:
            raise CliError(
                f"block {height} is not anchored yet: see `tally anchor status`, or export without --anchored",
                code="NOT_ANCHORED",
                exit_code=3,
            )
        _extend(client, log, anchor["size"])
        if log.root(anchor["size"]) != anchor["root"]:
            raise CliError(
                f"the anchor of {anchor['size']} blocks is of another history than this node's: ask another node",
                code="ANOTHER_HISTORY",
                exit_code=6,
            )
        path = tuple(log.inclusion(height - 1, anchor["size"]))
        found.append(AnchorItem(place, anchor["size"], anchor["root"], anchor["proof"], path))
    return found


def _confirmed(client: Client) -> list[dict[str, Any]]:
    """The confirmed anchors, smallest checkpoint first."""
    count = client.state("consortium", "anchor", "anchor_count") or 0
    rows: list[dict[str, Any]] = [client.state("consortium", "anchor", "anchor", number) for number in range(count)]
    return sorted(rows, key=lambda row: int(row["size"]))


def _extend(client: Client, log: Log, size: int) -> None:
    """Take in the leaves of blocks up to ``size``, each from the header that follows it."""
    from chain.checkpoint import leaf

    for height in range(len(log) + 1, size + 1):
        header = client.block(height + 1)["header"]
        block_hash, certificate_hash = (
            bytes.fromhex(header[PARENT_HASH]),
            bytes.fromhex(header[PARENT_CERTIFICATE_HASH]),
        )
        log.append(leaf(client.network_id, height, block_hash, certificate_hash))
        if height % TOLD_EVERY == 0:
            note(f"log of {height} of {size} blocks")
