"""Signed checkpoints and what independent witnesses put under them: C2SP signed-note and tlog-cosignature.

A note is a checkpoint's text, an empty line, and signature lines ``— name base64(key id (4) | signature)``:

====  =============================================================================================
type  signature
====  =============================================================================================
0x01  Ed25519 over the text: the log's own line (c2sp.org/signed-note); one line for each signing member
0x04  timestamp (8) | Ed25519 over ``cosignature/v1``, ``time <seconds>`` and the text, a line each: a
      witness says that at that time this was the largest consistent tree it had seen of this log
====  =============================================================================================

Which names and keys are believed comes from the reader, never from the note. A line of an unknown key is ignored;
one false line of a known key makes the whole note worthless (signed-note, "Signatures").
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from chain.anchor import DEVELOPMENT_NOTE, Existed, Trusted, UnanchoredError, VerificationError
from chain.checkpoint import Checkpoint, CheckpointError
from chain.crypto import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, SigningKey, sha256, verify

KIND: Final = "witness"
TYPE_LOG: Final = 0x01
TYPE_COSIGNATURE: Final = 0x04

KEY_ID_SIZE: Final = 4
TIMESTAMP_SIZE: Final = 8
MAX_TIMESTAMP: Final = 2**63 - 1
MAX_NOTE_SIZE: Final = 64 * 1024
MAX_SIGNATURES: Final = 64
"""A reader must take 16 at least; a post-quantum line has nearly 5 kB."""

RESERVED_NAMES: Final = (".test", ".example", ".invalid", ".localhost", "localhost")
RESERVED_DOMAINS: Final = ("example.com", "example.net", "example.org")
"""Names that RFC 2606 and RFC 6761 keep for trials: a witness so named is nobody, and its word is no evidence."""

_DASH: Final = "\N{EM DASH} "


class NoteError(ValueError):
    """Bytes that are no signed note; the message says why, in one line."""


class Line(NamedTuple):
    """One signature line. key_id: 4 bytes; signature: the rest of the base64 (of any length, for unknown types)."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """As it stands in a note, newline included."""
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"


class Note(NamedTuple):
    """A signed note. text: what is signed, its last newline included; lines: at least one, in the note's order."""

    text: bytes
    lines: tuple[Line, ...]

    def encode(self) -> bytes:
        """The note's bytes: text, empty line, signature lines."""
        return self.text + b"\n" + "".join(line.text for line in self.lines).encode()

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """The note of its bytes; only the exact bytes ``encode`` produces are accepted. Raises NoteError."""
        if len(data) > MAX_NOTE_SIZE:
            raise NoteError(f"a note has at most {MAX_NOTE_SIZE} bytes, this has {len(data)}")
        head, separator, tail = data.rpartition(b"\n\n")
        if not separator:
            raise NoteError("not a signed note: a text, an empty line, signature lines")
        note = cls(head + b"\n", parse_lines(tail))
        if any(byte < 0x20 and byte != 0x0A for byte in data):
            raise NoteError("a note holds no control characters other than newline")
        try:
            note.text.decode()
        except UnicodeDecodeError:
            raise NoteError("a note is UTF-8 text") from None
        if note.encode() != data:
            raise NoteError("a note is not in its one canonical form")
        return note


class Cosigned(NamedTuple):
    """What a verified note shows: the checkpoint, and each trusted witness's time, seconds since 1970.

    time: the earliest of them: the checkpoint existed no later than then, if that witness is believed.
    witness: whose time it is; development: every trusted witness under it has a name reserved for trials.
    """

    checkpoint: Checkpoint
    times: Mapping[str, int]
    time: int
    witness: str
    development: bool


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """``SHA-256(name, newline, type byte, public key)[:4]``: which key a line claims to be of."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public)[:KEY_ID_SIZE]


def verifier_key(name: str, kind: int, public: bytes) -> str:
    """``name+id+base64(type | key)``: the text that operators give each other (signed-note, "Verifier keys")."""
    check_name(name)
    return f"{name}+{key_id(name, kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def parse_verifier_key(text: str, kind: int) -> tuple[str, bytes]:
    """(name, 32-byte Ed25519 key) of such a text for signatures of this type. Raises NoteError."""
    name, _, rest = text.partition("+")
    given_id, _, encoded = rest.partition("+")
    try:
        material = b64decode(encoded, validate=True)
    except (ValueError, Base64Error):
        material = b""
    if len(material) != 1 + PUBLIC_KEY_SIZE or material[0] != kind:
        raise NoteError(f"not a verifier key of type {kind}: name+id+base64 expected, as its operator publishes it")
    if verifier_key(name, kind, material[1:]) != text or given_id != key_id(name, kind, material[1:]).hex():
        raise NoteError("a verifier key's id does not belong to its name and key: copy it again")
    return name, material[1:]


def check_name(name: str) -> None:
    """Raises NoteError where this cannot be a key name: not empty, no spaces, no plus sign."""
    if not name or "+" in name or any(each.isspace() or each < " " for each in name):
        raise NoteError("a key name is not empty and has no spaces and no plus sign")


def parse_lines(data: bytes) -> tuple[Line, ...]:
    """The signature lines of a note's end or of a witness's answer, at least one. Raises NoteError."""
    try:
        *lines, rest = data.decode().split("\n")
    except UnicodeDecodeError:
        raise NoteError("signature lines are UTF-8 text") from None
    if rest or not lines:
        raise NoteError("every signature line ends in a newline, and there is one at least")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures, this has {len(lines)}")
    return tuple(map(_line, lines))


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> Note:
    """The checkpoint with the log's own line, whose name is the log's origin (tlog-checkpoint, "Signatures")."""
    origin = origin_of(checkpoint)
    body = checkpoint.body
    return Note(body, (Line(origin, key_id(origin, TYPE_LOG, key.public), key.sign(body)),))


def origin_of(checkpoint: Checkpoint) -> str:
    """The log's identity: the first line of its checkpoints, ``tally/<network id>``."""
    return checkpoint.body.split(b"\n", 1)[0].decode()


def cosignature_message(text: bytes, timestamp: int) -> bytes:
    """What a witness signs for a note's text at a time, seconds since 1970 (tlog-cosignature, "Ed25519")."""
    return f"cosignature/v1\ntime {timestamp}\n".encode() + text


def cosign(text: bytes, name: str, key: SigningKey, timestamp: int) -> Line:
    """A witness's line for a note's text."""
    signature = key.sign(cosignature_message(text, timestamp))
    identity = key_id(name, TYPE_COSIGNATURE, key.public)
    return Line(name, identity, timestamp.to_bytes(TIMESTAMP_SIZE, "big") + signature)


def cosignature_times(text: bytes, lines: Sequence[Line], witnesses: Mapping[str, bytes]) -> dict[str, int]:
    """The time each known witness states under this text; lines of unknown keys are passed over.

    witnesses: name → 32-byte key, from outside. Raises VerificationError where a known key's line is false or
    doubled.
    """
    times: dict[str, int] = {}
    for line in lines:
        public = witnesses.get(line.name)
        if public is None or line.key_id != key_id(line.name, TYPE_COSIGNATURE, public):
            continue
        if line.name in times:
            raise VerificationError(f"witness {line.name} signed the note twice")
        if len(line.signature) != TIMESTAMP_SIZE + SIGNATURE_SIZE:
            raise VerificationError(f"the cosignature of witness {line.name} has the wrong size")
        timestamp = int.from_bytes(line.signature[:TIMESTAMP_SIZE], "big")
        message = cosignature_message(text, timestamp)
        if timestamp > MAX_TIMESTAMP or not verify(public, message, line.signature[TIMESTAMP_SIZE:]):
            raise VerificationError(f"the cosignature of witness {line.name} is false")
        times[line.name] = timestamp
    return times


def verify_cosigned(data: bytes, checkpoint: Checkpoint, witnesses: Mapping[str, bytes]) -> Cosigned:
    """Check a cosigned note against the checkpoint it should be of and the witnesses the reader trusts.

    data: the note's bytes. Raises VerificationError, and UnanchoredError where none of its witnesses is trusted.
    """
    try:
        note = Note.parse(data)
        stated = Checkpoint.parse(note.text)
    except (NoteError, CheckpointError) as error:
        raise VerificationError(f"not a cosigned checkpoint: {error}") from None
    if stated != checkpoint:
        raise VerificationError("the cosigned note is of another checkpoint")
    times = cosignature_times(note.text, note.lines, witnesses)
    if not times:
        raise UnanchoredError("no witness under the checkpoint is one you trust: name its key in your trust file")
    real = [name for name in times if not is_reserved(name)]  # beside one of these a trial's time counts for nothing
    witness = min(real or times, key=lambda name: (times[name], name))
    return Cosigned(stated, times, times[witness], witness, not real)


def existed(checkpoint: Checkpoint, proof: bytes, trusted: Trusted) -> Existed:
    """The anchor of kind ``witness``: proof is a cosigned note of the checkpoint.

    Raises UnanchoredError where no trusted witness decides it, VerificationError otherwise.
    """
    found = verify_cosigned(proof, checkpoint, trusted.witnesses)
    if found.development and not trusted.development:
        raise VerificationError(
            f"DEVELOPMENT_WITNESS: {found.witness} has a name reserved for trials and proves nothing; only "
            "--allow-development-chain lets it pass, for trying things out"
        )
    note = DEVELOPMENT_NOTE if found.development else ""
    return Existed(KIND, found.witness, found.time, None, note, found.development)


def is_reserved(name: str) -> bool:
    """Whether a witness has a name that no operator can own (RFC 2606, RFC 6761): good for trials only."""
    host = name.partition("/")[0].partition(":")[0].lower().rstrip(".")
    return host.endswith(RESERVED_NAMES) or any(host == one or host.endswith(f".{one}") for one in RESERVED_DOMAINS)


def _line(text: str) -> Line:
    name, separator, encoded = text.removeprefix(_DASH).partition(" ")
    if not text.startswith(_DASH) or not separator:
        raise NoteError("a signature line is: em dash, key name, base64, a space between")
    check_name(name)
    try:
        content = b64decode(encoded, validate=True)
    except (ValueError, Base64Error):
        raise NoteError("a signature line's last part is base64") from None
    if len(content) <= KEY_ID_SIZE:
        raise NoteError("a signature is longer than its key id")
    return Line(name, content[:KEY_ID_SIZE], content[KEY_ID_SIZE:])
