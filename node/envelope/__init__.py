"""How documents are sealed for custody: keys, copies, Merkle roots, key lists. Pure: no file, no clock, no network.

An object is a raw document (named by the SHA-256 of its bytes) or a sealed body (named by its sealed root). A deposit
gathers objects of one set of kinds under one random deposit key M::

    object key O of a name  = HMAC-SHA256(M, canonical ["tally/object_key", 1, name])
    copy key of a holder    = HMAC-SHA256(O, canonical ["tally/copy_key", 1, holder id])
    copy of a holder        = XSalsa20-Poly1305 under its copy key, nonce zero: each key seals one message
    root of a copy          = RFC 6962 root over its chunks of 4096 bytes, the last one shorter
    entry of a copy         = canonical ["tally/custody_object", 1, name, size of the copy, root of the copy]
    deposit root of a holder = RFC 6962 root over its entries, in the deposit's order

So every holder's copy has other bytes, and nobody without M or O can make one copy out of another: a holder that
keeps nothing cannot answer a challenge from another holder's copy. A holder that is also a reader could
(docs/custody.md says what follows from that).

The key list of a deposit carries M to its readers and O of single objects to others, each in a sealed box
(X25519 of the recipient's Ed25519 encryption key), signed by the owner. Readers change by a newer list; copies and
chain stay as they are.
"""

from __future__ import annotations

from node.envelope.copies import (
    CHUNK,
    OVERHEAD,
    RootHasher,
    check_document,
    chunks,
    copy_root,
    copy_size,
    make_copy,
    object_key,
    open_copy,
)
from node.envelope.errors import (
    EnvelopeError,
)
from node.envelope.forms import (
    MAX_KEY_LIST,
)
from node.envelope.key_list import (
    KEY_SIZE,
    DepositSecret,
    KeyList,
    KeyRow,
    ObjectKeyRow,
    Recipient,
    make_key_list,
    seal_to,
    unseal,
)
from node.envelope.manifest import (
    MAX_OBJECTS,
    Entry,
    Manifest,
    Proof,
)

__all__ = [
    "CHUNK",
    "KEY_SIZE",
    "MAX_KEY_LIST",
    "MAX_OBJECTS",
    "OVERHEAD",
    "DepositSecret",
    "Entry",
    "EnvelopeError",
    "KeyList",
    "KeyRow",
    "Manifest",
    "ObjectKeyRow",
    "Proof",
    "Recipient",
    "RootHasher",
    "check_document",
    "chunks",
    "copy_root",
    "copy_size",
    "make_copy",
    "make_key_list",
    "object_key",
    "open_copy",
    "seal_to",
    "unseal",
]
