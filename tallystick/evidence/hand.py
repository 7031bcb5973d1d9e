"""The folder ``hand/``: every hash and signature of a bundle spelled out, for sha256sum and openssl.

Whoever has no tally follows docs/verify-by-hand.md with these texts. They are a pure function of the proofs and are
rendered again and compared by the verifier; a reader need not believe them either, because each line proves itself:

    hash HEX          bytes; their SHA-256 stands inside the next line's bytes, of the last one in the block's header
    key HEX, absent   of a state: the SHA-256 of the key stands before that of the value in the second line's bytes;
                      absence is not spelled out, but the key is
    body HEX, signature KEY HEX          a transaction's body, and who signed it (Ed25519)
    raw HEX           of a record: with the original's bytes after it, its SHA-256 stands in the record
    sealed NAME HEX … an opened field: each one's SHA-256 stands in the next, of the last one in the record
    names HEX …       all sealed fields' names, in the same way: each stands there once
    statement HEX     the genesis statement: its SHA-256 is the genesis hash, the first validators' keys stand in it
    handover HEX, next HEX               a header that hands over to another set of validators, and that set
    header HEX        the block's header
    validators N needed Q                how many there are, and how many signatures make a block
    vote HEX, seal MEMBER KEY HEX        what the validators signed for the header above it, and their signatures
    log ANCHOR, hash HEX …               from the block's leaf to the root in ``anchors/ANCHOR/checkpoint.txt``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chain.block import CONSORTIUM, Header, MemberBlock
from chain.certificate import Certificate, ValidatorSet, VoteKind, vote_message
from chain.checkpoint import Checkpoint, leaf
from chain.codec import decode, encode
from chain.crypto import sha256
from chain.disclosure import NATURAL_KEY, Disclosure
from chain.sealed import RawDocument
from chain.verification import MAX_PROOF_ITEMS, MAX_PROOF_SIZE
from tallystick.evidence import anchors
from tallystick.evidence.words import clean

FOLDERS: Final = ("records", "transactions", "states")
_FOUR: Final = 4


def render(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Name to content of every file of the folder. Raises ValueError or KeyError for proofs that are none."""
    made: dict[str, bytes] = {}
    blocks: dict[int, Mapping[str, Any]] = {}
    for folder in FOLDERS:
        for name in sorted(name for name in files if name.startswith(f"{folder}/")):
            proof = decode(files[name], max_size=MAX_PROOF_SIZE, max_items=MAX_PROOF_ITEMS)
            header = Header.decode(proof["header"])
            height = header.height
            blocks.setdefault(height, proof)
            number = name.removeprefix(f"{folder}/").removesuffix(".proof")
            opened = files.get(f"disclosures/{number}.disclosure") if folder == "records" else None
            shown = [] if opened is None else _opened(Disclosure.decode(opened), f"originals/{number}.", files)
            lines = [f"block {height}", *shown, *_item(proof["claim"], header)]
            made[f"hand/{folder}-{number}.txt"] = _text(lines)
    checkpoints = {anchor.name: anchor.checkpoint for anchor in anchors.read(_folder(files, "anchors"))}
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in anchors.paths(files)["inclusion"]:
        rows.setdefault(row["height"], []).append(row)
    for height, proof in blocks.items():
        logged = [line for row in rows.get(height, []) for line in _log(proof, row, checkpoints)]
        made[f"hand/block-{height}.txt"] = _text([*_block(proof), *logged])
    return made


def _item(claim: Mapping[str, Any], header: Header) -> Iterator[str]:
    consortium = claim["chain"] == CONSORTIUM
    if claim["kind"] == "state":
        yield from _state(claim)
    elif consortium:
        yield from _transaction(claim, header.tx_count)
    else:
        block = MemberBlock.decode(claim["member_block"])
        yield from _transaction(claim, block.tx_count)
        yield _hash(block.encoded)
    if not consortium:
        head, index, path = claim["head"]
        yield from _merkle(head, index, path, header.chain_count)


def _opened(disclosure: Disclosure, original: str, files: Mapping[str, bytes]) -> Iterator[str]:
    file = next((data for name, data in files.items() if name.startswith(original)), None)
    if file is not None and disclosure.raw_salt is not None:
        yield f"raw {RawDocument(disclosure.raw_salt, file).encode()[: -len(file) or None].hex()}"
    for found in disclosure.openings:
        data = encode(["tally/sealed_field", 1, found.name, found.salt, found.value])
        yield f"sealed {clean(found.name)} {_ways(data, found.index, found.path, found.count)}"
    if disclosure.names is not None:
        key = decode(decode(disclosure.proof)["claim"]["record"][0])[NATURAL_KEY]
        data = encode(["tally/sealed_names", 1, *key, list(disclosure.names.names)])
        yield f"names {_ways(data, 0, disclosure.names.path, len(disclosure.names.names) + 1)}"


def _ways(data: bytes, index: int, path: Sequence[bytes], count: int) -> str:
    return " ".join(line.removeprefix("hash ") for line in _merkle(data, index, path, count))


def _state(claim: Mapping[str, Any]) -> Iterator[str]:
    entries, siblings = claim["proof"]
    yield f"key {claim['key'].hex()}"
    yield "absent" if claim["value"] is None else _hash(claim["value"])
    preimage = b"\x00" + entries
    bits = int.from_bytes(sha256(claim["key"]), "big")
    for level in range(len(siblings) - 1, -1, -1):
        yield _hash(preimage)
        slot = (bits >> (256 - 2 * (level + 1))) % _FOUR
        others = siblings[level]
        preimage = b"\x01" + b"".join([*others[:slot], sha256(preimage), *others[slot:]])
    yield _hash(preimage)


def _transaction(claim: Mapping[str, Any], count: int) -> Iterator[str]:
    signed, index, path = claim["transaction"]
    whole = decode(signed)
    body = decode(whole[2])
    yield f"body {whole[2].hex()}"
    for key, (_, signature) in zip(body[7], whole[3], strict=True):
        yield f"signature {key.hex()} {signature.hex()}"
    if claim["kind"] == "record":
        record, place, way = claim["record"]
        yield from _merkle(record, place, way, body[6]["count"])
    yield from _merkle(signed, index, path, count)


def _block(proof: Mapping[str, Any]) -> Iterator[str]:
    yield f"statement {encode(proof['statement']).hex()}"
    validators = ValidatorSet.from_value(proof["statement"][2])
    for raw, certificate, coming in proof["epochs"]:
        yield f"handover {raw.hex()}"
        yield from _seals(certificate, validators, raw)
        yield f"next {encode(coming).hex()}"
        validators = ValidatorSet.from_value(coming)
    yield f"header {proof['header'].hex()}"
    yield from _seals(proof["certificate"], validators, proof["header"])


def _seals(value: Any, validators: ValidatorSet, raw: bytes) -> Iterator[str]:
    certificate, header = Certificate.from_value(value), Header.decode(raw)
    kind, digest = VoteKind.COMMIT, certificate.digest
    message = vote_message(header.network_id, certificate.epoch, kind, certificate.height, certificate.round, digest)
    yield f"validators {len(validators.ids)} needed {validators.quorum}"
    yield f"vote {message.hex()}"
    for member, signature in certificate.signatures:
        yield f"seal {member} {validators.keys.get(member, b'').hex()} {signature.hex()}"


def _log(proof: Mapping[str, Any], row: Mapping[str, Any], checkpoints: Mapping[str, Checkpoint]) -> Iterator[str]:
    header, height = Header.decode(proof["header"]), row["height"]
    seal = Certificate.from_value(proof["certificate"]).hash
    yield f"log {row['anchor']}"
    path = [bytes.fromhex(node) for node in row["path"]]
    data = leaf(header.network_id, height, header.digest, seal)
    yield from _merkle(data, height - 1, path, checkpoints[row["anchor"]].size)


def _merkle(data: bytes, index: int, path: Sequence[bytes], count: int) -> Iterator[str]:
    """The bytes hashed from leaf ``index`` of ``count`` to the root (RFC 6962), as chain/merkle.py checks them."""
    preimage = b"\x00" + data
    yield _hash(preimage)
    siblings, position, last = iter(path), index, count - 1
    while last > 0:
        if position & 1 or position < last:
            node, sibling = sha256(preimage), next(siblings, b"")
            preimage = b"\x01" + (sibling + node if position & 1 else node + sibling)
            yield _hash(preimage)
        position >>= 1
        last >>= 1


def _folder(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    return {file: data for file, data in files.items() if file.startswith(f"{name}/")}


def _hash(data: bytes) -> str:
    return f"hash {data.hex()}"


def _text(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
