"""Taking documents in, the part that needs no node: files to records, each refused with a reason or ready to send.

A file is read once; its records go to the member whose role the template lets upload their kind. Within one run the
first record of a natural key wins; the same content again is known, other content is refused or, if asked for, a
correction.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.errors import CliError, one_line

if TYPE_CHECKING:
    from node.connectors import Connector, Prepared, Provenance, RecordDraft
    from node.connectors.routing import Member

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of one document; the connectors refuse more."""

SEALED, KNOWN, CORRECTED, READY = "sealed", "known", "corrected", "ready"
REFUSED, REFUSED_BY_CHAIN, UNKNOWN, NOT_SENT = "refused", "refused by the chain", "unknown", "not sent"
OUTCOMES: Final = (READY, SEALED, KNOWN, CORRECTED, REFUSED, REFUSED_BY_CHAIN, UNKNOWN, NOT_SENT)
"""From best to worst: a file has the worst of its records."""


@dataclass
class Entry:
    """One record of a file and what became of it."""

    kind: str
    issuer: str
    number: str
    chain: str
    prepare: Callable[[bytes | None], Prepared]
    """The record, naming the one it corrects."""
    prepared: Prepared
    outcome: str = READY
    code: str = ""
    reason: str = ""
    transaction: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Where it goes, and its natural key there."""
        return (self.chain, self.kind, self.issuer, self.number)

    def refuse(self, outcome: str, code: str, reason: str) -> None:
        """Note why it is not taken in."""
        self.outcome, self.code, self.reason = outcome, code, one_line(reason)

    def correct(self, current: bytes) -> None:
        """Make it a correction of the record in force."""
        self.prepared = self.prepare(current)


@dataclass
class Document:
    """One file: its records, or why it has none."""

    path: Path
    data: bytes = b""
    format: str = ""
    entries: list[Entry] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    """(code, reason) of what could not be read or made to a record."""

    @property
    def outcome(self) -> str:
        """The worst of its records'."""
        outcomes = [entry.outcome for entry in self.entries] + ([REFUSED] if self.refusals else [])
        return max(outcomes, key=OUTCOMES.index)


@dataclass(frozen=True)
class Rules:
    """What decides where a record goes and what of it is open.

    own: the acting member, None when every kind goes to the member of its role; secrets: by member.
    """

    template: Mapping[str, Any]
    members: tuple[Member, ...]
    own: Member | None
    secret: Callable[[str], bytes]
    system: str


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files named, and every file in the folders named, sorted; hidden ones left out. Raises CliError."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
            found.update(dict.fromkeys(inside))
        else:
            found[path] = None
    if not found:
        raise CliError("no file there: give files, or folders that hold some")
    return list(found)


def read(paths: Iterable[Path], rules: Rules) -> Iterator[Document]:
    """Each file with its records: detected by content, routed, made to records of the template."""
    for path in paths:
        yield _read(path, rules)


def settle_repeats(documents: Iterable[Document], *, correct: bool) -> None:
    """Within one run: the first of a natural key wins; the same again is known; another one is refused, unless
    corrections are asked for: then it stays ready and is sent after the first."""
    from chain.crypto import hash_value
    from contracts.record import content_hash

    first: dict[tuple[str, str, str, str], tuple[bytes, Path]] = {}
    for document in documents:
        for entry in document.entries:
            if entry.outcome != READY:
                continue
            content = content_hash(entry.prepared.record, hash_value)
            seen = first.setdefault(entry.key, (content, document.path))
            if seen[0] == content and seen[1] != document.path:
                entry.refuse(KNOWN, "", f"the same record as in {seen[1].name}")
            elif seen[0] != content and not correct:
                entry.refuse(
                    REFUSED,
                    "CONFLICTING_RECORD",
                    f"{seen[1].name} holds {entry.kind} {entry.number} with other content: keep one of them, or take "
                    "both in with --correct",
                )


def sealing_secret(seed: bytes) -> bytes:
    """The member's secret for the salts of sealed fields, from its signer key's seed. 32 bytes."""
    return hmac.digest(seed, b"tally/sealing/1", "sha256")


def _read(path: Path, rules: Rules) -> Document:
    from chain.crypto import sha256
    from node.connectors import ConnectorError, Provenance, detect

    document = Document(path)
    try:
        with path.open("rb") as file:
            document.data = file.read(MAX_FILE + 1)
        captured_at = max(0, path.stat().st_mtime_ns // 1_000_000)
    except OSError as error:
        document.refusals.append(("FILE", f"cannot read it ({error.strerror}): correct its mode"))
        return document
    try:
        connector = detect(document.data, path.name)
        document.format = connector.name
        drafts = connector.read(document.data, path.name)
    except ConnectorError as error:
        document.refusals.append((error.code, one_line(f"{error.what}: {error.advice}")))
        return document
    provenance = Provenance(rules.system, sha256(document.data), captured_at)
    for draft in drafts:
        _add(document, draft, connector, provenance, rules)
    return document


def _add(document: Document, draft: RecordDraft, connector: Connector, provenance: Provenance, rules: Rules) -> None:
    """Append the record of a draft, or the reason why there is none."""
    from node.connectors import ConnectorError, to_record

    def lookup(_kind: str) -> Mapping[str, Any]:
        return rules.template

    try:
        chain = _route(draft.kind, rules)
        secret = rules.secret(chain)

        def prepare(corrects: bytes | None) -> Prepared:
            return to_record(draft, lookup, connector, provenance, secret, corrects)

        entry = Entry(draft.kind, draft.issuer, draft.number, chain, prepare, prepare(None))
    except ConnectorError as error:
        reason = one_line(f"{draft.kind} {draft.number}: {error.what}: {error.advice}")
        document.refusals.append((error.code, reason))
        return
    document.entries.append(entry)


def _route(kind: str, rules: Rules) -> str:
    """The chain of a kind: the acting member's if its role may upload it. Raises ConnectorError."""
    from node.connectors import ConnectorError, route, uploaders

    if rules.own is None:
        return route(kind, rules.template, rules.members)
    roles = uploaders(kind, rules.template)
    if rules.own.role not in roles:
        raise ConnectorError(
            "NOT_YOURS",
            f"this kind is taken in by {' or '.join(roles)}; {rules.own.id} has the role {rules.own.role}",
            "hand the file to that member",
        )
    return rules.own.id


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
