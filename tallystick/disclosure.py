"""Making disclosures, and sending them to those they are meant for.

A disclosure (chain/disclosure.py) proves itself to whoever holds it. So that only its recipients do, it travels in a
sealed form, canonical bytes in a file::

    {"format": ["tally/sealed_disclosure", 1],
     "to": [[owner kind, id, encryption public key, sealed box of the content key] …],
     "text": XSalsa20-Poly1305 of the disclosure under the content key, 24 bytes of nonce before it}

The file names its recipients; its content is theirs alone. Whoever reads a record's sealed body, its owner or a named
reader, can disclose of it; whoever was shown a value cannot be made to forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import nacl.exceptions
import nacl.secret
import nacl.utils

from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import SigningKey
from chain.disclosure import MAX_DISCLOSURE, NATURAL_KEY, RAW_HASH, SEALED_ROOT, SOURCE, Disclosure
from chain.sealed import RawDocument, SealedBody, SealingError, decode_body, decode_raw
from chain.sealed_box import SealedBoxError, seal_to, unseal
from chain.verification import MAX_PROOF_SIZE
from contracts.access import CONSORTIUM, MEMBER, PARTY, is_valid_at
from tallystick.client import Client, ClientError

TAG: Final = "tally/sealed_disclosure"
VERSION: Final = 1
MAX_SEALED: Final = MAX_DISCLOSURE + 1024 * 1024
FIELDS: Final = 12
"""Place of the open fields in the record array (contracts/record.py)."""


Read: TypeAlias = Callable[[str, bytes], bytes]
"""Chain and name of a document (sealed root, raw hash) to its bytes."""


class DisclosureError(ValueError):
    """A disclosure that cannot be made or opened; ``code`` for programs, one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Recipient(NamedTuple):
    """Whom a disclosure is for. kind: "member" or "party"; keys: encryption keys valid now, 32 bytes each."""

    kind: str
    id: str
    keys: tuple[bytes, ...]


def recipient(client: Client, identity: str) -> Recipient:
    """A member or party with its encryption keys. Raises DisclosureError UNKNOWN_RECIPIENT, NO_ENCRYPTION_KEY."""
    owners = [kind for kind in (MEMBER, PARTY) if client.state(CONSORTIUM, "registry", kind, identity) is not None]
    if not owners:
        said = f"no member or party {identity[:64]!r}: `tally query members` and `tally party show` list them"
        raise DisclosureError("UNKNOWN_RECIPIENT", said)
    (kind, *_) = owners
    listed = client.state(CONSORTIUM, "registry", "keys", kind, identity) or []
    entries = client.states(CONSORTIUM, "registry", [["key", key] for key in listed])
    height = client.status()["height"] + 1
    valid = [
        key
        for key, entry in zip(listed, entries, strict=True)
        if entry is not None and entry["purpose"] == "encryption" and is_valid_at(entry, height)
    ]
    if not valid:
        said = f"{identity} has no valid encryption key: have it register one (registry.add_key, purpose encryption)"
        raise DisclosureError("NO_ENCRYPTION_KEY", said)
    return Recipient(kind, identity, tuple(valid))


def body_of(client: Client, chain: str, record: Sequence[Any], read: Read | None = None) -> SealedBody:
    """The sealed body of a record array of a chain, from the node or by ``read``.

    Raises DisclosureError NO_SEALED_FIELDS, SealingError, and ClientError where this node may not read it.
    """
    root = record[SEALED_ROOT]
    if root is None:
        raise DisclosureError("NO_SEALED_FIELDS", "the record has no sealed fields: everything in it is open")
    body = decode_body(client.body(root, chain) if read is None else read(chain, root), root)
    if list(body.natural_key) != list(record[NATURAL_KEY]):
        said = "the sealed root in this record was made for another record: nothing is sealed in this one"
        raise SealingError("WRONG_BODY", said)
    return body


def raw_of(client: Client, chain: str, record: Sequence[Any], read: Read | None = None) -> RawDocument:
    """The raw document of a record array of a chain, as `body_of`. Raises SealingError, ClientError."""
    name = record[SOURCE][RAW_HASH]
    return decode_raw(client.document(name, chain) if read is None else read(chain, name))


def disclose(
    client: Client, record_id: bytes, fields: Sequence[str], *, raw: bool = False, read: Read | None = None
) -> Disclosure:
    """Open fields of a sealed record, each once, and with ``raw`` the hash of its raw file.

    ``read``: how its documents are got, where not from the node that is asked. Raises DisclosureError
    NOTHING_TO_DISCLOSE, OPEN_FIELD, UNKNOWN_FIELD, NO_SEALED_FIELDS, NO_RAW_DOCUMENT, and ClientError where the node
    does not know the record or may not read its body.
    """
    if not fields and not raw:
        raise DisclosureError(
            "NOTHING_TO_DISCLOSE", "name what to open: --field NAME, or --raw for the raw file's hash"
        )
    proof = client.prove_record(record_id)
    chain, record = _record_in(client, proof)
    for name in fields:
        if name in record[FIELDS]:
            said = f"field {name[:40]!r} is open: the record shows it to everybody on this chain"
            raise DisclosureError("OPEN_FIELD", said)
    try:
        salt = raw_of(client, chain, record, read).salt if raw else None
        if not fields:
            return Disclosure(proof, None, (), salt)
        body = body_of(client, chain, record, read)
        openings = tuple(body.open(name) for name in sorted(set(fields)))
    except SealingError as error:
        raise DisclosureError(error.code, str(error)) from None
    return Disclosure(proof, body.names(), openings, salt)


def seal_disclosure(disclosure: Disclosure, recipients: Sequence[Recipient]) -> bytes:
    """The bytes of the sealed form for recipients. Raises DisclosureError NO_ENCRYPTION_KEY.

    A registered key that is no point of the curve opens nothing and is passed over, if the recipient has another.
    """
    content = nacl.utils.random(nacl.secret.SecretBox.KEY_SIZE)
    rows: list[list[Any]] = []
    for to in recipients:
        boxes = [(key, box) for key in to.keys if (box := _box(key, content)) is not None]
        if not boxes:
            said = f"{to.id} has no encryption key that can be sealed to: have it register another"
            raise DisclosureError("NO_ENCRYPTION_KEY", said)
        rows += [[to.kind, to.id, key, box] for key, box in boxes]
    text = bytes(nacl.secret.SecretBox(content).encrypt(disclosure.encode()))
    return encode({"format": [TAG, VERSION], "to": rows, "text": text})


def is_sealed(value: Any) -> bool:
    """Whether a decoded value says that it is a sealed disclosure."""
    return type(value) is dict and is_tagged(value.get("format"), TAG, VERSION, 2)


def unseal_disclosure(data: bytes, keys: Sequence[SigningKey]) -> bytes:
    """The disclosure inside the sealed form, unverified. Raises DisclosureError NOT_SEALED, NOT_FOR_YOU, DAMAGED."""
    try:
        found: Any = decode(data, max_size=MAX_SEALED)
        if not is_sealed(found) or found.keys() != {"format", "to", "text"}:
            raise ValueError("another structure")
        rows = [(str(identity), public, box) for _kind, identity, public, box in found["to"]]
    except (CodecError, TypeError, ValueError):
        said = "this is no sealed disclosure: give the file as it was sent"
        raise DisclosureError("NOT_SEALED", said) from None
    boxes = [(key, box) for key in keys for _, public, box in rows if public == key.public]
    if not boxes:
        names = ", ".join(sorted({identity[:64] for identity, _, _ in rows})) or "nobody"
        said = f"this disclosure is sealed to other keys (of {names}): give the encryption key it was made for"
        raise DisclosureError("NOT_FOR_YOU", said)
    try:
        return bytes(nacl.secret.SecretBox(unseal(*boxes[0])).decrypt(found["text"]))
    except (SealedBoxError, nacl.exceptions.CryptoError, ValueError, TypeError):
        said = "the sealed disclosure is damaged: have it sent again"
        raise DisclosureError("DAMAGED", said) from None


def _record_in(client: Client, proof: bytes) -> tuple[str, list[Any]]:
    """Chain and record array of a record's proof."""
    try:
        claim = decode(proof, max_size=MAX_PROOF_SIZE)["claim"]
        chain, record = claim["chain"], decode(claim["record"][0])
    except (CodecError, KeyError, TypeError, IndexError):
        raise ClientError("BAD_ANSWER", f"{client.url} sent no proof of a record: is it a tally node?") from None
    return chain, record


def _box(key: bytes, content: bytes) -> bytes | None:
    try:
        return seal_to(key, content)
    except SealedBoxError:
        return None
