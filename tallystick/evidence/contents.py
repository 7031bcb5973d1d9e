"""What the proofs of a bundle say, read without believing them: believing is the check ``proofs``.

Everything that other checks look at comes from here, out of the very bytes that ``chain.verification`` proves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chain.block import CONSORTIUM, BlockError, Header, Receipt
from chain.certificate import Certificate, CertificateError
from chain.codec import CodecError, decode
from chain.crypto import sha256
from chain.verification import MAX_PROOF_ITEMS, MAX_PROOF_SIZE, VerificationError

CONTRACT, METHOD, ARGS, SIGNERS = 4, 5, 6, 7
"""Places in the body of a transaction (chain/transaction.py)."""
NATURAL_KEY: Final = slice(2, 5)


@dataclass(frozen=True, slots=True)
class Block:
    """The header a proof leads to. time: ms; digest: its hash; certificate_hash: of the certificate beside it."""

    height: int
    time: int
    digest: bytes
    certificate_hash: bytes


@dataclass(frozen=True, slots=True)
class State:
    """A state entry: key as decoded, value None where it is absent."""

    chain: str
    key: tuple[Any, ...]
    value: Any
    block: Block


@dataclass(frozen=True, slots=True)
class Done:
    """A transaction with its outcome. signers: public keys; status 0: it succeeded."""

    id: bytes
    chain: str
    contract: str
    method: str
    args: dict[str, Any]
    signers: tuple[bytes, ...]
    status: int
    result: Any
    block: Block
    index: int
    """Its place in its chain's block: orders two of one block."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record as it was sealed, with the transaction that carried it. array: the decoded record array."""

    id: bytes
    array: list[Any]
    done: Done

    @property
    def natural_key(self) -> tuple[str, str, str]:
        kind, issuer, number = self.array[NATURAL_KEY]
        return kind, issuer, number


def open_proof(data: bytes) -> State | Done | Sealed:
    """What proof bytes say. Raises VerificationError where they are no proof of a state, transaction or record."""
    try:
        proof = decode(data, max_size=MAX_PROOF_SIZE, max_items=MAX_PROOF_ITEMS)
        header = Header.decode(proof["header"])
        certificate = Certificate.from_value(proof["certificate"])
        block = Block(header.height, header.time, header.digest, certificate.hash)
        claim = proof["claim"]
        match claim["kind"]:
            case "state":
                value = None if claim["value"] is None else decode(claim["value"])
                return State(str(claim["chain"]), _key(claim["key"]), value, block)
            case "transaction":
                return _done(claim, block)
            case "record":
                record = claim["record"][0]
                return Sealed(sha256(record), decode(record), _done(claim, block))
    except (BlockError, CertificateError, CodecError) as error:
        raise VerificationError(f"a proof of the bundle cannot be read: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise VerificationError(f"a proof of the bundle is malformed ({type(error).__name__})") from None
    raise VerificationError("a proof of the bundle is of no state, transaction or record")


def _key(encoded: bytes) -> tuple[Any, ...]:
    """A state key. No contract's key holds a truth value, and in Python ``False`` would answer for 0: its absence,
    which can be proved of any deed, must not stand for the absence of what is kept under 0.
    """
    key = tuple(decode(encoded))
    if any(type(part) not in (str, int, bytes) for part in key):
        raise VerificationError("a state proof of the bundle has a key that no contract uses")
    return key


def _done(claim: dict[str, Any], block: Block) -> Done:
    leaf, index, _ = claim["transaction"]
    raw = decode(leaf)[2]
    body = decode(raw)
    receipt = Receipt.decode(claim["receipt"][0])
    return Done(
        sha256(raw), str(claim["chain"]), body[CONTRACT], body[METHOD], body[ARGS], tuple(body[SIGNERS]),
        receipt.status, receipt.result, block, index,
    )  # fmt: skip


__all__ = ["CONSORTIUM", "Block", "Done", "Sealed", "State", "open_proof"]
