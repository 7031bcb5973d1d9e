"""Files to records: detected by content, routed to the member that may upload the kind, made records of the template.

Records come one at a time: a table with hundreds of thousands of rows is never held as records all at once.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from chain.crypto import sha256
from chain.sealed import RAW_OVERHEAD, seal_file
from contracts.record import moment
from node.connectors import (
    Connector,
    ConnectorError,
    Prepared,
    Provenance,
    RecordDraft,
    recognise,
    route,
    to_record,
    uploaders,
)
from node.connectors import mapping as mappings
from node.connectors.routing import Member
from node.documents import MAX_DOCUMENT
from node.intake.kinds import with_kinds
from node.intake.outcomes import Entry, FileReport, IntakeError, one_line

MAX_FILE: Final = MAX_DOCUMENT - RAW_OVERHEAD
"""Bytes of one document: what the document store keeps; connectors may take less."""

AHEAD_S: Final = 36 * 3_600

Prepare: TypeAlias = Callable[[bytes | None], Prepared]
"""A record, naming the one it corrects."""


@dataclass(frozen=True, slots=True)
class Source:
    """One document. ``load`` gives its bytes, at most MAX_FILE + 1 of them, and when it was captured (ms since 1970);
    it may raise OSError. ``size``: bytes, 0 where unknown; for progress only."""

    name: str
    load: Callable[[], tuple[bytes, int]]
    size: int = 0


@dataclass(frozen=True)
class Rules:
    """What decides where a record goes and what of it is open.

    own: the acting member, None when every kind goes to the member of its role; secret: by member; system: name of
    the system the files come from.
    """

    template: Mapping[str, Any]
    members: tuple[Member, ...]
    own: Member | None
    secret: Callable[[str], bytes]
    system: str
    mapping: mappings.Mapping | None = None


@dataclass(slots=True, eq=False)
class Work:
    """A record on its way. ``raw``: the raw document it names (chain/sealed.py), which the member's documents get
    first: one object for all records that a file puts onto one chain. kinds: of the whole file."""

    entry: Entry
    prepare: Prepare
    prepared: Prepared
    raw: bytes
    kinds: tuple[str, ...]
    looked_up_again: bool = False


def source_of(path: Path) -> Source:
    """A file. Its time of change is its capture time, so that the same file gives the same bytes."""

    def load() -> tuple[bytes, int]:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        return data, max(0, path.stat().st_mtime_ns // 1_000_000)

    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return Source(str(path), load, size)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files named, and every file in the folders named, sorted; hidden ones left out. Raises IntakeError."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
            found.update(dict.fromkeys(inside))
        else:
            found[path] = None
    if not found:
        raise IntakeError("NO_FILE", "no file there: give files, or folders that hold some")
    return list(found)


def mapping_of(name_or_path: str) -> mappings.Mapping | None:
    """A ready mapping by its name or a mapping file by its path, None for "". Raises IntakeError."""
    try:
        return mappings.load(name_or_path) if name_or_path else None
    except ConnectorError as error:
        raise IntakeError(error.code, str(error)) from None


def sealing_secret(seed: bytes) -> bytes:
    """The member's secret for the salts of sealed fields, from its signer key's seed. 32 bytes."""
    return hmac.digest(seed, b"tally/sealing/1", "sha256")


def read(source: Source, rules: Rules, report: FileReport) -> Iterator[Work]:
    """The records of a file one by one; what cannot be one stands in the report."""
    try:
        data, captured_at = source.load()
    except OSError as error:
        report.refuse("FILE", f"cannot read it ({error.strerror}): correct its mode")
        return
    if len(data) > MAX_FILE:
        report.refuse("TOO_LARGE", f"the file is larger than {MAX_FILE} bytes: split it")
        return
    report.sha256 = sha256(data)
    name = Path(source.name).name
    try:
        connector, drafts = recognise(data, name, rules.mapping)
        report.format = connector.name
        kinds, drafts = with_kinds(connector, drafts, rules.mapping)
        maker = _Maker(connector, data, captured_at, kinds, rules)
        for index, draft in enumerate(drafts):
            try:
                work = maker.make(report, index, draft)
            except ConnectorError as error:
                what = one_line(f"{draft.kind} {draft.number}: {error.what}: {error.advice}")
                report.refuse(error.code, what)
                continue
            report.open += 1
            yield work
    except ConnectorError as error:
        report.refuse(error.code, f"{error.what}: {error.advice}")
    except MemoryError:
        report.refuse("TOO_LARGE", "there is not enough memory to read it: split it")


class _Maker:
    """Drafts of one file to records."""

    def __init__(
        self, connector: Connector, data: bytes, captured_at: int, kinds: tuple[str, ...], rules: Rules
    ) -> None:
        self._connector = connector
        self._kinds = kinds
        self._data = data
        self._captured_at = captured_at
        self._rules = rules
        self._chains: dict[str, str | ConnectorError] = {}
        self._raw: dict[str, tuple[bytes, Provenance]] = {}

    def make(self, report: FileReport, index: int, draft: RecordDraft) -> Work:
        """The record of a draft. Raises ConnectorError where it is none of the acting member's, or breaks a rule."""
        chain = self._chain(draft.kind)
        secret = self._rules.secret(chain)
        raw, provenance = self._raw_of(chain, secret)

        def prepare(corrects: bytes | None) -> Prepared:
            return to_record(draft, self._template, self._connector, provenance, secret, corrects)

        prepared = prepare(None)
        _check_not_ahead(draft.occurred_at)
        entry = Entry(report, index, draft.kind, draft.issuer, draft.number, chain, prepared.id)
        return Work(entry, prepare, prepared, raw, self._kinds)

    def _raw_of(self, chain: str, secret: bytes) -> tuple[bytes, Provenance]:
        """The file as a chain's member keeps it, salted with that member's secret."""
        if chain not in self._raw:
            raw = seal_file(self._data, secret).encode()
            self._raw[chain] = (raw, Provenance(self._rules.system, sha256(raw), self._captured_at))
        return self._raw[chain]

    def _template(self, _kind: str) -> Mapping[str, Any]:
        return self._rules.template

    def _chain(self, kind: str) -> str:
        found = self._chains.get(kind)
        if found is None:
            try:
                found = _route(kind, self._rules)
            except ConnectorError as error:
                found = error
            self._chains[kind] = found
        if isinstance(found, ConnectorError):
            raise found
        return found


def _check_not_ahead(occurred_at: str) -> None:
    """What is far in the future is not even sent; what may be a matter of hours the chain decides by its own time.

    A table of wrong dates would otherwise leave a failed receipt on the chain for every row. Raises ConnectorError.
    """
    if moment(occurred_at).first > time.time() + AHEAD_S:
        raise ConnectorError("FUTURE_EVENT", f"occurred at {occurred_at}, which is still to come", "correct the date")


def _route(kind: str, rules: Rules) -> str:
    """The chain of a kind: the acting member's if its role may upload it. Raises ConnectorError."""
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
