"""Public witnesses of the tests: an Ethereum-like block, an RFC 3161 authority, the log that they bear witness to.

What a test puts into its trust file makes them trusted; the same classes with other names are the forger's own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

from chain import rlp
from chain.checkpoint import Log, leaf
from chain.crypto import sha256
from chain.evm import EvmProof, keccak256
from chain.ledger import Ledger
from node.anchor_key import eth_accounts
from node.evm_block import EMPTY_TRIE, Trie

GWEI: Final = 10**9
PUBLIC_CHAIN: Final = 1
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


class Authority:
    """A time-stamp authority: root and signing certificate of its own, tokens made by ``openssl ts``."""

    def __init__(self, folder: Path, name: str, *, usage: str = "critical,timeStamping") -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        (self.folder / "ca.cnf").write_text(_CONFIG.format(folder=self.folder, usage=usage))
        (self.folder / "serial").write_text("01\n")
        for key in ("root", "tsa"):
            self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{key}.key")
        subject = f"/O={name}/CN="
        self._run("req", "-new", "-x509", "-key", "root.key", "-subj", f"{subject}root", "-days", "3650",
                  "-out", "root.pem", "-config", "ca.cnf", "-extensions", "root")  # fmt: skip
        self._run("req", "-new", "-key", "tsa.key", "-subj", f"{subject}tsa", "-out", "tsa.csr", "-config", "ca.cnf")
        self._run("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                  "-days", "3650", "-out", "tsa.pem", "-extfile", "ca.cnf", "-extensions", "tsa")  # fmt: skip
        self._run("x509", "-in", "root.pem", "-outform", "DER", "-out", "root.der")
        self.root: bytes = (self.folder / "root.der").read_bytes()

    def stamp(self, data: bytes) -> bytes:
        """The time-stamp response over data, its certificates inside."""
        (self.folder / "data").write_bytes(data)
        self._run("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query")
        self._run("ts", "-reply", "-config", "ca.cnf", "-section", "tsa_settings", "-queryfile", "query",
                  "-out", "reply")  # fmt: skip
        return (self.folder / "reply").read_bytes()

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


_CONFIG: Final = """\
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa_settings]
dir = {folder}
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
"""
