"""Offline verification: what a court's clerk runs, without node, network, LevelDB or trust in who made the file.

Trust starts outside (DESIGN.md): the caller brings the genesis hash. From it: the statement that hashes to it
names the first validators; each change of validators is a header certified by the set before; the target header
is certified by its set; everything else is a Merkle path or a state path to that header.

A proof is a map, canonical bytes in a file::

    {"format": ["tally/proof", 1], "statement": …, "epochs": [[header, certificate, next set], …],
     "header": bytes, "certificate": […], "claim": {…}}

with a claim of kind ``"record"``, ``"transaction"``, ``"state"`` or ``"head"`` (made in ``chain/proof.py``).

Who keeps the headers themselves (``tallystick/headers.py``) needs of it only the claim and the height, a *compact
proof*::

    {"format": ["tally/compact_proof", 1], "height": n, "claim": {…}}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from chain import merkle
from chain.block import CONSORTIUM, BlockError, Head, Header, MemberBlock, Receipt
from chain.certificate import Certificate, CertificateError, ValidatorSet
from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import SUITE_ED25519, sha256, verify
from chain.identity import IdentityError, check_statement
from chain.state import ProofError, check_proof
from chain.transaction import TAG_BODY, TAG_SIGNED, VERSION

PROOF_TAG: Final = "tally/proof"
PROOF_VERSION: Final = 1
PROOF_FORMAT: Final = [PROOF_TAG, PROOF_VERSION]
COMPACT_TAG: Final = "tally/compact_proof"
COMPACT_VERSION: Final = 1
_PARTS: Final = frozenset({"format", "statement", "epochs", "header", "certificate", "claim"})
_COMPACT_PARTS: Final = frozenset({"format", "height", "claim"})
_CLAIMS: Final = {
    "state": frozenset({"kind", "chain", "key", "value", "proof"}),
    "transaction": frozenset({"kind", "chain", "transaction", "receipt"}),
    "record": frozenset({"kind", "chain", "transaction", "receipt", "record"}),
    "head": frozenset({"kind", "chain"}),
}
"""The parts of a claim on the consortium chain; on a business chain the way to its head is there too."""
MAX_PROOF_SIZE: Final = 16 * 1024 * 1024
MAX_PROOF_ITEMS: Final = 500_000
"""Values in a proof: a megabyte of empty ones takes a second to look through, and none that proves has so many."""
MAX_EPOCHS: Final = 10_000


class VerificationError(ValueError):
    """The file does not prove what it claims; one line that names the first thing that fails."""


@dataclass
class Verdict:
    """What was proved. ``steps`` are the checks in order, in plain words; ``time`` is block time in ms."""

    kind: str
    height: int = 0
    time: int = 0
    chain: str = ""
    subject: dict[str, Any] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)


Certified: TypeAlias = dict[bytes, tuple[Header, tuple[str, ...]]]
"""What stood before: hash of all that a header was certified with, to the header and the steps that were taken."""


def verify_proof(data: bytes, network_id: bytes, certified: Certified | None = None) -> Verdict:
    """Check proof bytes against a genesis hash. Raises VerificationError.

    certified: kept by who checks many proofs of few blocks under one genesis hash, so that each block's signatures
    are checked once; empty at first.
    """
    proof = _open(data, PROOF_TAG, PROOF_VERSION, _PARTS)
    return _verdict(
        proof["claim"], network_id, lambda verdict: _certified_once(proof, network_id, verdict, certified)
    )


def verify_compact(data: bytes, network_id: bytes, header_of: Callable[[int], Header]) -> Verdict:
    """Check compact proof bytes against headers that were verified before. Raises VerificationError.

    ``header_of`` gives the header of a height, or raises VerificationError where it is not there.
    """
    proof = _open(data, COMPACT_TAG, COMPACT_VERSION, _COMPACT_PARTS)
    return _verdict(proof["claim"], network_id, lambda verdict: _kept_header(proof["height"], header_of, verdict))


def is_compact(data: bytes) -> bool:
    """Whether bytes say of themselves that they are a compact proof."""
    try:
        value = decode(data, max_size=MAX_PROOF_SIZE, max_items=MAX_PROOF_ITEMS)
    except CodecError:
        return False
    return type(value) is dict and is_tagged(value.get("format"), COMPACT_TAG, COMPACT_VERSION, 2)


def compact(data: bytes) -> bytes:
    """The compact form of a proof, which is not checked here. Raises VerificationError for what is no proof."""
    proof = _open(data, PROOF_TAG, PROOF_VERSION, _PARTS)
    try:
        height = Header.decode(proof["header"]).height
    except (BlockError, TypeError) as error:
        raise VerificationError(f"the proof's header: {error}") from None
    return encode({"format": [COMPACT_TAG, COMPACT_VERSION], "height": height, "claim": proof["claim"]})


def _verdict(claim: dict[str, Any], network_id: bytes, trusted: Callable[[Verdict], Header]) -> Verdict:
    """What a claim proves under a header that ``trusted`` finds and notes. Raises VerificationError."""
    try:
        verdict = Verdict(kind=claim["kind"])
        header = trusted(verdict)
        match claim["kind"]:
            case "state":
                _check_state(claim, header, verdict)
            case "head":
                _check_head(claim, header, verdict)
            case "transaction":
                _check_transaction(claim, header, network_id, verdict)
            case _:
                _check_record(claim, header, network_id, verdict)
    except VerificationError:
        raise
    except (BlockError, CertificateError, IdentityError, ProofError, CodecError) as error:
        raise VerificationError(str(error)) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise VerificationError(f"the proof is malformed ({type(error).__name__}: {error})") from None
    return verdict


def _open(data: bytes, tag: str, version: int, parts: frozenset[str]) -> dict[str, Any]:
    try:
        proof = decode(data, max_size=MAX_PROOF_SIZE, max_items=MAX_PROOF_ITEMS)
    except CodecError as error:
        raise VerificationError(f"not a tally proof: {error}") from None
    if type(proof) is not dict or not is_tagged(proof.get("format"), tag, version, 2):
        raise VerificationError(f"not a {tag} version {version}")
    claim = proof.get("claim")
    if proof.keys() != parts or type(claim) is not dict or type(claim.get("kind")) is not str:
        raise VerificationError(f"not a {tag} version {version}: it has other parts")
    _check_parts(claim)
    return proof


def _check_parts(claim: dict[str, Any]) -> None:
    """A claim has exactly the parts that are checked: nothing rides along unproved."""
    kind = claim["kind"]
    if kind not in _CLAIMS:
        raise VerificationError(f"unknown kind of claim {kind!r}: use a newer release of tally")
    parts = set(_CLAIMS[kind])
    if claim.get("chain") != CONSORTIUM:
        parts |= {"head"} if kind in ("state", "head") else {"head", "member_block"}
    if claim.keys() != parts:
        raise VerificationError(f"a claim of kind {kind} has other parts than this one")


def _kept_header(height: Any, header_of: Callable[[int], Header], verdict: Verdict) -> Header:
    """The header of the height that a compact proof names."""
    if type(height) is not int or height < 1:
        raise VerificationError("a compact proof names a height from 1")
    header = header_of(height)
    verdict.height, verdict.time = header.height, header.time
    verdict.steps.append(
        f"headers: block {height} ({header.digest.hex()[:16]}…) stands in the header chain given, which leads from"
        " the genesis hash by its validators' certificates"
    )
    return header


def _certified_once(
    proof: dict[str, Any], network_id: bytes, verdict: Verdict, certified: Certified | None
) -> Header:
    """As ``_trusted_header``, unless the very same statement, changes, header and certificate stood before."""
    if certified is None:
        return _trusted_header(proof, network_id, verdict)
    mark = sha256(encode([network_id, *(proof[part] for part in ("statement", "epochs", "header", "certificate"))]))
    known = certified.get(mark)
    if known is None:
        header = _trusted_header(proof, network_id, verdict)
        certified[mark] = (header, tuple(verdict.steps))
        return header
    header, steps = known
    verdict.height, verdict.time = header.height, header.time
    verdict.steps.extend(steps)
    return header


def _trusted_header(proof: dict[str, Any], network_id: bytes, verdict: Verdict) -> Header:
    """The target header, certified by a validator set that descends from the genesis hash."""
    validators = check_statement(proof["statement"], network_id)
    verdict.steps.append(
        f"genesis: the file's statement hashes to {network_id.hex()[:16]}…; it names {len(validators.ids)}"
        f" validators ({', '.join(validators.ids)})"
    )
    if type(proof["epochs"]) is not list or len(proof["epochs"]) > MAX_EPOCHS:
        raise VerificationError("the validator changes are no list, or too many")
    height = 0
    for raw, certificate, coming in proof["epochs"]:
        header = _certified(raw, certificate, validators, network_id)
        successor = ValidatorSet.from_value(coming)
        if header.height <= height or successor.epoch <= validators.epoch:
            raise VerificationError("the validator changes are not in order")
        if header.next_validators_hash != successor.hash:
            raise VerificationError(f"header {header.height} names another next validator set")
        height, validators = header.height, successor
        verdict.steps.append(f"validators: block {height} hands over to epoch {validators.epoch}")
    header = _certified(proof["header"], proof["certificate"], validators, network_id)
    if header.height <= height:
        raise VerificationError("the proved block is older than the validators it is checked with")
    certificate = Certificate.from_value(proof["certificate"])
    verdict.height, verdict.time = header.height, header.time
    verdict.steps.append(
        f"agreement: {len(certificate.signatures)} of {len(validators.ids)} validators signed block {header.height}"
        f" ({header.digest.hex()[:16]}…); {validators.quorum} are needed"
    )
    return header


def _certified(raw: bytes, certificate_value: Any, validators: ValidatorSet, network_id: bytes) -> Header:
    header = Header.decode(raw)
    certificate = Certificate.from_value(certificate_value)
    if header.network_id != network_id:
        raise VerificationError("a header is of another consortium than the given genesis hash")
    if header.validators_hash != validators.hash:
        raise VerificationError(f"header {header.height} was certified by other validators than the genesis leads to")
    if certificate.digest != header.digest or certificate.height != header.height:
        raise VerificationError(f"the certificate is of another block than header {header.height}")
    certificate.check(validators, network_id)
    return header


def _member_head(claim: dict[str, Any], header: Header, verdict: Verdict) -> Head:
    """The head of a business chain under the header's heads root."""
    leaf, index, path = claim["head"]
    if not merkle.verify(header.heads_root, leaf, index, header.chain_count, path):
        raise VerificationError("the chain head does not lead to the header's heads root")
    head = Head.decode(leaf)
    verdict.steps.append(f"chain: {head.chain} stood at its block {head.height} in block {header.height}")
    return head


def _check_head(claim: dict[str, Any], header: Header, verdict: Verdict) -> None:
    """Where a chain stood; on the consortium chain the block itself, which the certificate proves."""
    verdict.chain = claim["chain"]
    if verdict.chain == CONSORTIUM:
        verdict.subject = {"height": header.height, "hash": header.digest, "state_root": header.state_root}
        return
    head = _member_head(claim, header, verdict)
    if head.chain != verdict.chain:
        raise VerificationError("the chain head is of another chain than the claim")
    verdict.subject = {"height": head.height, "hash": head.hash, "state_root": head.state_root}


def _check_state(claim: dict[str, Any], header: Header, verdict: Verdict) -> None:
    chain, key, value = claim["chain"], claim["key"], claim["value"]
    if chain == CONSORTIUM:
        root = header.state_root
    else:
        head = _member_head(claim, header, verdict)
        if head.chain != chain:
            raise VerificationError("the chain head is of another chain than the claim")
        root = head.state_root
    check_proof(root, key, value, claim["proof"])
    decoded = None if value is None else decode(value)
    verdict.chain = chain
    verdict.subject = {"key": decode(key), "value": decoded}
    what = "is absent from" if value is None else "stands in"
    verdict.steps.append(f"state: the key {what} the state of {chain} after block {header.height}")


def _check_transaction(
    claim: dict[str, Any], header: Header, network_id: bytes, verdict: Verdict
) -> tuple[list[Any], Receipt]:
    """The transaction and its receipt, under the roots of its chain's block. Returns (body array, receipt)."""
    chain = claim["chain"]
    if chain == CONSORTIUM:
        tx_root, tx_count, receipt_root, offset = header.tx_root, header.tx_count, header.receipt_root, 1
    else:
        block = MemberBlock.decode(claim["member_block"])
        head = _member_head(claim, header, verdict)
        if (block.chain, head.chain) != (chain, chain) or block.hash != head.hash:
            raise VerificationError("the member block is not the chain head that the header commits to")
        if block.network_id != network_id or block.consortium_height != header.height:
            raise VerificationError("the member block was sealed elsewhere")
        tx_root, tx_count, receipt_root, offset = block.tx_root, block.tx_count, block.receipt_root, 0
    leaf, index, path = claim["transaction"]
    if not merkle.verify(tx_root, leaf, index, tx_count, path):
        raise VerificationError("the transaction does not lead to the transaction root")
    body = _signed_body(leaf, network_id)
    if body[3] != chain:
        raise VerificationError("the transaction was signed for another chain")
    raw, receipt_path = claim["receipt"]
    if not merkle.verify(receipt_root, raw, index + offset, tx_count + offset, receipt_path):
        raise VerificationError("the receipt does not lead to the receipt root")
    receipt = Receipt.decode(raw)
    tx_id = sha256(decode(leaf)[2])
    if receipt.tx_id != tx_id:
        raise VerificationError("the receipt is of another transaction")
    outcome = "done" if receipt.status == 0 else f"failed ({receipt.code}: {receipt.message})"
    verdict.chain = chain
    verdict.subject = {
        "tx": tx_id.hex(), "contract": body[4], "method": body[5], "args": body[6],
        "signers": [key.hex() for key in body[7]], "status": receipt.status, "code": receipt.code,
        "result": receipt.result, "events": receipt.events,
    }  # fmt: skip
    verdict.steps.append(
        f"transaction: {tx_id.hex()[:16]}… {body[4]}.{body[5]} on {chain}, signed by {len(body[7])} key(s): {outcome}"
    )
    return body, receipt


def _signed_body(leaf: bytes, network_id: bytes) -> list[Any]:
    """The body of a transaction leaf, every signature checked again."""
    signed = decode(leaf)
    if not is_tagged(signed, TAG_SIGNED, VERSION, 4):
        raise VerificationError("the leaf is no signed transaction")
    body: list[Any] = decode(signed[2])
    if not is_tagged(body, TAG_BODY, VERSION, 10) or body[2] != network_id:
        raise VerificationError("the transaction is of another consortium")
    signers, signatures = body[7], signed[3]
    if len(signers) != len(signatures):
        raise VerificationError("not one signature for each signer")
    for key, (suite, signature) in zip(signers, signatures, strict=True):
        if suite != SUITE_ED25519 or not verify(key, signed[2], signature):
            raise VerificationError(f"the signature of key {key.hex()[:16]}… does not verify")
    return body


def _check_record(claim: dict[str, Any], header: Header, network_id: bytes, verdict: Verdict) -> None:
    body, receipt = _check_transaction(claim, header, network_id, verdict)
    if receipt.status != 0 or (body[4], body[5]) != ("records", "submit"):
        raise VerificationError("the transaction that carried the record did not succeed")
    record, index, path = claim["record"]
    if not merkle.verify(body[6]["records_root"], record, index, body[6]["count"], path):
        raise VerificationError("the record is not in the signed batch")
    array = decode(record)
    kind, issuer, number = array[2:5]
    verdict.subject = {**verdict.subject, "record_id": sha256(record).hex(), "record": array}
    verdict.steps.append(f"record: {kind} {number} of {issuer} is number {index + 1} of {body[6]['count']} in it")
