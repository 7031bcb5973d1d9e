"""Records: what a member's own chain is made of. Runs on member chains; credit and notary read its state.

A record is sealed once under its natural key (kind, issuer, number). The same content again is known and changes
nothing; other content is refused unless it names the record it corrects. A batch goes in whole or not at all.

State, on the member's chain:
    ("record", kind, issuer, number) -> {id, height, time, record, superseded, historical}, latest version
    ("version", record id)           -> [kind, issuer, number], every version ever sealed
    ("bills", n), ("bills_count",)   -> [kind, issuer, number] of each bill's first version; how many there are
    ("enterprise", enterprise, page) -> [[kind, issuer, number]] of first versions, in sealing order
    ("enterprise_pages", enterprise) -> number of pages; all but the last are full
    and the sums of contracts/aggregates.py
"""

from __future__ import annotations

from typing import Final

from contracts import access, aggregates, arguments
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError
from contracts.record import NaturalKey, Record, content_hash, moment, parse
from contracts.template import Kind, Template, check_fields, compiled

MAX_BATCH: Final = 500  # records; their events have to fit into one receipt
PAGE: Final = 4  # natural keys a page: a page is rewritten for each record that comes alone
CHARGE_PER_RECORD: Final = 8  # units; and one for each field or line


def submit(ctx: Context, args: Args) -> Value:
    """Seal a batch of records: {count, records_root}, the records attached. All or nothing.

    Validity has already bound count and root to the attached records. Gives {sealed, corrected, known}: counts.
    Raises ContractError for the first record that is refused, naming it.
    """
    arguments.expect(args, "count", "records_root")
    actor = access.authorise(ctx, "records.submit")
    if actor.id != ctx.chain:
        raise ContractError("WRONG_CHAIN", f"{actor.id} writes on its own chain only: submit to chain {actor.id}")
    if not 0 < len(ctx.records) <= MAX_BATCH:
        raise ContractError(
            "WRONG_BATCH", f"a batch holds 1 to {MAX_BATCH} records; this one holds {len(ctx.records)}"
        )
    batch = _Batch(ctx, actor)
    for index, (record_id, array) in enumerate(ctx.records):
        try:
            batch.add(record_id, array)
        except ContractError as error:
            raise ContractError(error.code, f"record {index + 1}{_label(array)}: {error.message}") from None
    return batch.finish()


METHODS: Final[dict[str, Method]] = {"submit": submit}


class _Batch:
    """One transaction's records; what many of them share is read and written once."""

    def __init__(self, ctx: Context, actor: access.Actor) -> None:
        self._ctx = ctx
        self._actor = actor
        self._templates: dict[tuple[str, int], Template] = {}
        self._onboardings: dict[str, aggregates.Onboarding | None] = {}
        self._sums = aggregates.Changes()
        self._bills: list[NaturalKey] = []
        self._firsts: dict[str, list[NaturalKey]] = {}
        self._counts = {"sealed": 0, "corrected": 0, "known": 0}

    def add(self, record_id: bytes, array: list[Value]) -> None:
        """Seal, correct or recognise one record."""
        ctx = self._ctx
        record = parse(array)
        rows = sum(len(value) for value in record.fields.values() if type(value) is list)
        ctx.charge(CHARGE_PER_RECORD + len(record.fields) + rows)
        previous = ctx.get("record", *record.natural_key)
        if previous is not None and self._is_known(record, record_id, array, previous):
            self._report("known", "record_known", record_id, record)
            return
        if previous is None and record.corrects is not None:
            raise ContractError(
                "NOTHING_TO_CORRECT", "corrects names a record, but none is sealed under this key: send it without"
            )
        template = self._template(record)
        kind = self._kind(template, record)
        self._check_uploader(kind)
        occurred = moment(record.occurred_at, template.time_zone_minutes)
        if ctx.time < occurred.first * 1_000:
            raise ContractError(
                "FUTURE_EVENT",
                f"occurred at {record.occurred_at}, after the time of block {ctx.height}: correct the date",
            )
        present = check_fields(kind, record.fields)
        counted = kind.category in ("process", "bill")
        historical = counted and aggregates.is_historical(self._onboarding(record.enterprise), occurred, ctx.time)
        sums = aggregates.sums_of(kind, record, present, occurred, ctx.time, historical)
        if previous is not None:
            self._take_out(record, kind, previous)
        if sums is not None:
            self._sums.add(aggregates.bucket_of(record, ctx.time), sums)
        self._write(record_id, array, record, kind, historical, previous)

    def finish(self) -> dict[str, int]:
        """Write what was gathered; gives the counts."""
        self._sums.write(self._ctx)
        if self._bills:
            count = self._ctx.get("bills_count") or 0
            for offset, key in enumerate(self._bills):
                self._ctx.put("bills", count + offset, value=list(key))
            self._ctx.put("bills_count", value=count + len(self._bills))
        for enterprise, keys in self._firsts.items():
            _append_pages(self._ctx, enterprise, keys)
        return self._counts

    def _is_known(self, record: Record, record_id: bytes, array: list[Value], previous: dict[str, Value]) -> bool:
        """Same content, or a version that has been superseded since: known. Otherwise it must correct the latest."""
        if self._ctx.get("version", record_id) is not None:
            return True
        if content_hash(previous["record"], self._ctx.hash) == content_hash(array, self._ctx.hash):
            return True
        current: bytes = previous["id"]
        if record.corrects is None:
            raise ContractError(
                "CONFLICTING_RECORD",
                f"sealed with other content as {current.hex()}: to correct that one, name it in corrects",
            )
        if record.corrects != current:
            raise ContractError("STALE_CORRECTION", f"corrects must name the latest version, {current.hex()}")
        return False

    def _take_out(self, record: Record, kind: Kind, previous: dict[str, Value]) -> None:
        """Undo exactly what the superseded version had put into the sums."""
        old = parse(previous["record"])
        if old.enterprise != record.enterprise:
            raise ContractError(
                "ENTERPRISE_CHANGED", f"a correction keeps its enterprise, {old.enterprise!r}: issue a new document"
            )
        old_template = self._template(old)
        old_kind = self._kind(old_template, old)
        if old_kind.category != kind.category:
            raise ContractError(
                "CATEGORY_CHANGED",
                f"a correction keeps its category, {old_kind.category}: use a template where it does",
            )
        occurred = moment(old.occurred_at, old_template.time_zone_minutes)
        present = check_fields(old_kind, old.fields)
        sums = aggregates.sums_of(old_kind, old, present, occurred, previous["time"], previous["historical"])
        if sums is not None:
            self._sums.remove(aggregates.bucket_of(old, previous["time"]), sums)

    def _write(
        self,
        record_id: bytes,
        array: list[Value],
        record: Record,
        kind: Kind,
        historical: bool,
        previous: dict[str, Value] | None,
    ) -> None:
        ctx = self._ctx
        key = record.natural_key
        entry = {
            "id": record_id,
            "height": ctx.height,
            "time": ctx.time,
            "record": array,
            "superseded": 0 if previous is None else previous["superseded"] + 1,
            "historical": historical,
        }
        ctx.put("record", *key, value=entry)
        ctx.put("version", record_id, value=list(key))
        if previous is not None:
            self._report("corrected", "record_corrected", record_id, record)
            return
        if kind.category == "bill":
            self._bills.append(key)
        self._firsts.setdefault(record.enterprise, []).append(key)
        self._report("sealed", "record_sealed", record_id, record)

    def _report(self, outcome: str, event: str, record_id: bytes, record: Record) -> None:
        self._counts[outcome] += 1
        data = {"id": record_id, "kind": record.kind, "issuer": record.issuer, "number": record.number}
        self._ctx.emit(event, data)

    def _template(self, record: Record) -> Template:
        name = (record.template, record.template_version)
        template = self._templates.get(name)
        if template is None:
            document = self._ctx.read(access.CONSORTIUM, "credit", "template", *name)
            if document is None:
                raise ContractError(
                    "UNKNOWN_TEMPLATE", f"there is no template {name[0]!r} version {name[1]}: use one that is adopted"
                )
            template = self._templates[name] = compiled(document)
        return template

    def _kind(self, template: Template, record: Record) -> Kind:
        kind = template.kinds.get(record.kind)
        if kind is None:
            raise ContractError(
                "UNKNOWN_KIND", f"template {template.id!r} version {template.version} has no kind {record.kind!r}"
            )
        return kind

    def _check_uploader(self, kind: Kind) -> None:
        if self._actor.role not in kind.uploaders:
            raise ContractError(
                "UPLOADER_NOT_ALLOWED",
                f"{kind.kind} is uploaded by {', '.join(kind.uploaders)}; {self._actor.id} is {self._actor.role}",
            )

    def _onboarding(self, enterprise: str) -> aggregates.Onboarding | None:
        if enterprise not in self._onboardings:
            self._onboardings[enterprise] = aggregates.onboarding(self._ctx, enterprise)
        return self._onboardings[enterprise]


def _append_pages(ctx: Context, enterprise: str, keys: list[NaturalKey]) -> None:
    pages = ctx.get("enterprise_pages", enterprise) or 0
    rows = ctx.get("enterprise", enterprise, pages - 1) if pages else []
    while keys:
        room = PAGE - len(rows) if pages else 0
        taken, keys = keys[:room], keys[room:]
        if taken:
            ctx.put("enterprise", enterprise, pages - 1, value=[*rows, *map(list, taken)])
        if keys:
            pages, rows = pages + 1, []
            ctx.put("enterprise_pages", enterprise, value=pages)


def _label(array: Value) -> str:
    """Which document an error is about, as far as that can be read."""
    if type(array) is list and len(array) == 15 and type(array[2]) is str and type(array[4]) is str:
        return f" ({array[2][:32]} {array[4][:64]!r})"
    return ""
