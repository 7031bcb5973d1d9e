"""Records: what a member's own chain is made of. Runs on member chains; credit and notary read its state.

A record is sealed once under its natural key (kind, issuer, number). The same content again is known and changes
nothing; other content is refused unless it names the record it corrects. A batch goes in whole or not at all.

State, on the member's chain; one key a record, and for a batch of one enterprise a few more (docs/adr/0012):
    ("record", kind, issuer, number) -> {id, height, time, period, record, since, superseded, historical}, latest
        version; since: height of the first; superseded: ids of the versions before it, oldest first; period: the one
        open in the state of height - 1
    ("log", n), ("log_count",)       -> [[kind, issuer, number, flags]] of one transaction's followed and implausible
        records; how many there are
    ("standing", enterprise)         -> [[kind, issuer, number]] of its newest qualifications and guarantees, in order
    and what contracts/aggregates.py and contracts/series.py keep of each enterprise

Event, one a batch: "records_sealed" {"outcomes": a letter a record: s sealed, c corrected, k known}.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts import access, aggregates, arguments, periods
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError
from contracts.record import NaturalKey, Record, content_hash, moment, parse
from contracts.series import Source, Steps
from contracts.template import Kind, Template, check_fields, compiled, within_ranges

MAX_BATCH: Final = 500  # records
MAX_VERSIONS: Final = 256  # of one record
MAX_STANDING: Final = 256
CHARGE_PER_RECORD: Final = 8  # units; and one for each field or line

FOLLOWED: Final = 1  # flags of the log: its kind is followed,
IMPLAUSIBLE: Final = 2  # a value lies outside its range,
CORRECTION: Final = 4  # it supersedes another version

EVENT: Final = "records_sealed"
SEALED, CORRECTED, KNOWN = "s", "c", "k"


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


class _Setting(NamedTuple):
    """What records of one template, kind and enterprise share, looked up once a transaction."""

    template: Template
    kind: Kind
    counted: bool  # its category has sums
    flags: int  # of the log, before the record itself is looked at
    onboarding: aggregates.Onboarding | None


class _Batch:
    """One transaction's records; what many of them share is read and written once."""

    def __init__(self, ctx: Context, actor: access.Actor) -> None:
        self._ctx = ctx
        self._actor = actor
        self._period = periods.current(ctx).number
        self._templates: dict[tuple[str, int], Template] = {}
        self._settings: dict[tuple[str, int, str, str], _Setting] = {}
        self._sums: dict[str, aggregates.Running] = {}
        self._steps: dict[str, Steps] = {}
        self._standing: dict[str, list[NaturalKey]] = {}
        self._log: list[list[Value]] = []
        self._outcomes: list[str] = []

    def add(self, record_id: bytes, array: list[Value]) -> None:
        """Seal, correct or recognise one record."""
        ctx = self._ctx
        record = parse(array)
        fields = record.fields
        rows = sum(map(len, filter(_is_lines, fields.values()))) if list in map(type, fields.values()) else 0
        ctx.charge(CHARGE_PER_RECORD + len(fields) + rows)
        previous = ctx.get("record", *record.natural_key)
        if previous is not None and self._is_known(record, record_id, array, previous):
            self._outcomes.append(KNOWN)
            return
        if previous is None and record.corrects is not None:
            raise ContractError(
                "NOTHING_TO_CORRECT", "corrects names a record, but none is sealed under this key: send it without"
            )
        template, kind, counted, flags, onboarding = self._setting(record)
        occurred = moment(record.occurred_at, template.time_zone_minutes)
        if ctx.time < occurred.first * 1_000:
            raise ContractError(
                "FUTURE_EVENT",
                f"occurred at {record.occurred_at}, after the time of block {ctx.height}: correct the date",
            )
        present = check_fields(kind, fields)
        within = within_ranges(kind, fields)
        historical = counted and aggregates.is_historical(onboarding, occurred, ctx.time)
        if previous is not None:
            self._take_out(record, kind, previous)
        if counted:
            delay = aggregates.delay_of(occurred, ctx.time, historical)
            self._count(kind, record, record_id, present, within, delay)
            if kind.steady and kind.category == "process":
                steps = self._series(record.enterprise)
                steps.add(kind.steady, record, record_id, occurred.last, self._period)
        self._write(record_id, array, record, historical, previous)
        if within is False:
            flags |= IMPLAUSIBLE
        if flags:
            self._log.append([*record.natural_key, flags | (CORRECTION if previous is not None else 0)])
        if previous is None and kind.category in ("qualification", "guarantee"):
            self._standing.setdefault(record.enterprise, []).append(record.natural_key)

    def finish(self) -> dict[str, int]:
        """Write what was gathered; gives the counts."""
        ctx = self._ctx
        for enterprise, sums in self._sums.items():
            steps = self._steps.get(enterprise)
            if steps is not None:
                judged = steps.finish(sums.series)
                sums.series = judged.root
                sums.steps(judged.changes)
                for source in judged.unsteady:
                    sums.sample(aggregates.ACCURACY, 0, source)
            sums.write()
        for enterprise, keys in self._standing.items():
            rows = ctx.get("standing", enterprise) or []
            ctx.put("standing", enterprise, value=[*rows, *map(list, keys)][-MAX_STANDING:])
        if self._log:
            count = ctx.get("log_count") or 0
            ctx.put("log", count, value=self._log)
            ctx.put("log_count", value=count + 1)
        outcomes = "".join(self._outcomes)
        ctx.emit(EVENT, {"outcomes": outcomes})
        return {
            "sealed": outcomes.count(SEALED),
            "corrected": outcomes.count(CORRECTED),
            "known": outcomes.count(KNOWN),
        }

    def _is_known(self, record: Record, record_id: bytes, array: list[Value], previous: dict[str, Value]) -> bool:
        """Same content, or a version that has been superseded since: known. Otherwise it must correct the latest."""
        if record_id in previous["superseded"]:
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
        if len(previous["superseded"]) + 1 >= MAX_VERSIONS:
            raise ContractError(
                "TOO_MANY_VERSIONS", f"a record has at most {MAX_VERSIONS} versions: issue a new document"
            )
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
        if old_kind.category not in ("process", "bill"):
            return
        occurred = moment(old.occurred_at, old_template.time_zone_minutes)
        period, old_id = previous["period"], previous["id"]
        delay = aggregates.delay_of(occurred, previous["time"], previous["historical"])
        present, within = check_fields(old_kind, old.fields), within_ranges(old_kind, old.fields)
        sums = self._running(old.enterprise)
        sums.remove(period, aggregates.sums_of(old_kind, present, within, delay), old_id)
        if old_kind.steady and old_kind.category == "process":
            steps = self._series(old.enterprise)
            steps.remove(old_kind.steady, old, old_id, occurred.last, period)

    def _count(
        self, kind: Kind, record: Record, record_id: bytes, present: int, within: bool | None, delay: int | None
    ) -> None:
        sums = self._running(record.enterprise)
        source = Source(record_id, record.kind, record.number)
        sums.add(self._period, aggregates.sums_of(kind, present, within, delay))
        if present < kind.asked:
            sums.sample(aggregates.CONFORMITY, kind.asked - present, source)
        if delay:
            sums.sample(aggregates.TIMELINESS, delay, source)
        if within is False and kind.category == "process":
            sums.sample(aggregates.ACCURACY, 1, source)

    def _write(
        self,
        record_id: bytes,
        array: list[Value],
        record: Record,
        historical: bool,
        previous: dict[str, Value] | None,
    ) -> None:
        entry = {  # sorted, and the record is as it was decoded: canonical as it stands
            "height": self._ctx.height,
            "historical": historical,
            "id": record_id,
            "period": self._period,
            "record": array,
            "since": self._ctx.height if previous is None else previous["since"],
            "superseded": [] if previous is None else [*previous["superseded"], previous["id"]],
            "time": self._ctx.time,
        }
        self._ctx.put_canonical("record", *record.natural_key, value=entry)
        self._outcomes.append(SEALED if previous is None else CORRECTED)

    def _running(self, enterprise: str) -> aggregates.Running:
        sums = self._sums.get(enterprise)
        if sums is None:
            sums = self._sums[enterprise] = aggregates.Running(self._ctx, enterprise)
        return sums

    def _series(self, enterprise: str) -> Steps:
        steps = self._steps.get(enterprise)
        if steps is None:
            steps = self._steps[enterprise] = Steps(self._ctx, enterprise)
        return steps

    def _setting(self, record: Record) -> _Setting:
        """Raises ContractError UNKNOWN_TEMPLATE, UNKNOWN_KIND or UPLOADER_NOT_ALLOWED."""
        name = (record.template, record.template_version, record.kind, record.enterprise)
        setting = self._settings.get(name)
        if setting is None:
            template = self._template(record)
            kind = self._kind(template, record)
            self._check_uploader(kind)
            counted = kind.category in ("process", "bill")
            onboarding = aggregates.onboarding(self._ctx, record.enterprise, template.model) if counted else None
            flags = FOLLOWED if kind.follow else 0
            setting = self._settings[name] = _Setting(template, kind, counted, flags, onboarding)
        return setting

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


def _is_lines(value: Value) -> bool:
    return type(value) is list


def _label(array: Value) -> str:
    """Which document an error is about, as far as that can be read."""
    if type(array) is list and len(array) == 15 and type(array[2]) is str and type(array[4]) is str:
        return f" ({array[2][:32]} {array[4][:64]!r})"
    return ""
