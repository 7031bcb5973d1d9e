"""Public witnesses of the tests: an Ethereum-like block, a Bitcoin-like one, the log that they bear witness to.

What a test puts into its trust file makes them trusted; the same classes with other names are the forger's own.
"""

from __future__ import annotations

from typing import Any, Final

from chain import rlp
from chain.bitcoin import double_sha256
from chain.checkpoint import Log, leaf
from chain.crypto import sha256
from chain.evm import EvmProof, keccak256
from chain.ledger import Ledger
from chain.ots import OtsProof
from chain.ots_stamp import APPEND, PREPEND, SHA256, Operation, chain_of
from chain.ots_stamp import bitcoin as ots_attestation
from node.anchor_key import eth_accounts
from node.evm_block import EMPTY_TRIE, Trie

GWEI: Final = 10**9
PUBLIC_CHAIN: Final = 1
REGTEST_BITS: Final = 0x207FFFFF
_EMPTY_UNCLES: Final = keccak256(rlp.encode([]))


def log_of(ledger: Ledger) -> Log:
    """The log of a ledger: every block whose child is there, as each node keeps it."""
    log = Log()
    for height in range(1, ledger.height):
        header = ledger.header(height)
        certificate = ledger.header(height + 1).parent_certificate_hash
        log.append(leaf(ledger.network_id, height, header.digest, certificate))
    return log


class EvmWriter:
    """An account on a chain of a chosen id; its blocks hold its own transactions among strangers'."""

    def __init__(self, name: str, chain_id: int = PUBLIC_CHAIN) -> None:
        self._account = eth_accounts().from_key(sha256(f"evm/{name}".encode()))
        self._stranger = eth_accounts().from_key(sha256(b"evm/stranger"))
        self.chain_id = chain_id
        self.address: bytes = bytes.fromhex(self._account.address[2:])

    def transaction(self, payload: bytes, nonce: int = 0, account: Any = None, **changes: Any) -> bytes:
        """A signed self-transfer of type 2."""
        account = account or self._account
        fields = {
            "chainId": self.chain_id, "nonce": nonce, "to": account.address, "value": 0, "data": payload,
            "gas": 40_000, "maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": GWEI, **changes,
        }  # fmt: skip
        return bytes(account.sign_transaction(fields).raw_transaction)

    def block(self, payload: bytes, *, number: int = 21_000_000, time: int, index: int = 2) -> tuple[EvmProof, bytes]:
        """A block with the payload's transaction at an index among five: (proof, block hash). time: seconds."""
        raws = [self.transaction(b"noise %d" % place, place, self._stranger) for place in range(5)]
        raws[index] = self.transaction(payload)
        trie = Trie.of_list(raws)
        fields: list[int | bytes] = [
            sha256(b"parent"), _EMPTY_UNCLES, bytes(20), EMPTY_TRIE, trie.root, EMPTY_TRIE, bytes(256), 0, number,
            30_000_000, 200_000, time, b"", bytes(32), bytes(8), GWEI, EMPTY_TRIE,
        ]  # fmt: skip
        header = rlp.encode([rlp.from_int(part) if isinstance(part, int) else part for part in fields])
        nodes = tuple(trie.prove(rlp.encode(rlp.from_int(index))))
        return EvmProof(self.chain_id, header, index, nodes), keccak256(header)


def stamped(data: bytes, *, time: int, height: int = 840_000, bits: int = REGTEST_BITS) -> tuple[OtsProof, bytes]:
    """A trial chain's block that an OpenTimestamps file leads to: (proof, block hash). time: seconds."""
    operations = [Operation(APPEND, b"salt"), Operation(SHA256), Operation(PREPEND, sha256(b"tx")), Operation(SHA256)]
    stamp = chain_of(sha256(data), operations, ots_attestation(height))
    root, _ = stamp.bitcoin()[0]
    start = (1).to_bytes(4, "little") + sha256(b"previous") + root + time.to_bytes(4, "little")
    for nonce in range(2**32):
        header = start + bits.to_bytes(4, "little") + nonce.to_bytes(4, "little")
        found = double_sha256(header)
        if int.from_bytes(found, "little") < 0x7FFFFF << 232:
            return OtsProof(stamp.file(), height, (header,)), found
    raise AssertionError("no nonce fits")
