"""Running sums over records: what conformity, timeliness and valid range need, kept per period (DOMAIN 1-3).

An assessment reads a few rows whatever the history. The sums always equal a recomputation over the latest versions of
all records: a correction takes out exactly what the version before it had put in.

State, in the records contract's namespace:
    ("aggregate", enterprise, template, template version, period) -> [int] in the order of KEYS; absent when all are 0
    ("aggregate_index", enterprise) -> sorted [[template, template version, period]] that exist
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from contracts.access import CONSORTIUM
from contracts.context import Context
from contracts.record import Moment, Record, month_of
from contracts.template import Kind, within_ranges

MS_PER_DAY: Final = 86_400_000

KEYS: Final = (
    "process_count",  # process records
    "bill_count",  # bills
    "weight_present",  # sum of the template weights of fields present, both kinds
    "weight_total",  # sum of the template weights asked for, both kinds
    "process_delay_sum",  # seconds from the event to the sealing block, rounded up
    "process_delay_count",
    "bill_delay_sum",
    "bill_delay_count",
    "historical_count",  # records that timeliness leaves out
    "range_total",  # process records with a ranged value
    "range_within",  # of them, those with every value within its range
)

Sums: TypeAlias = tuple[int, ...]  # in the order of KEYS
Bucket: TypeAlias = tuple[str, str, int, int]  # enterprise, template, template version, period

_ZERO: Final[Sums] = (0,) * len(KEYS)


def sums_of(
    kind: Kind, record: Record, present: int, occurred: Moment, sealed_ms: int, historical: bool
) -> Sums | None:
    """What one record adds; None for a category that has no sums.

    present: weight of the fields present. sealed_ms: time of the sealing block, which is the upload time (DOMAIN 2).
    """
    is_process = kind.category == "process"
    if not is_process and kind.category != "bill":
        return None
    delay = 0 if historical else max(0, -(-sealed_ms // 1_000) - occurred.last)
    timed = 0 if historical else 1
    if not is_process:
        return (0, 1, present, kind.asked, 0, 0, delay, timed, 1 - timed, 0, 0)
    within = within_ranges(kind, record.fields)
    ranged = 0 if within is None else 1
    return (1, 0, present, kind.asked, delay, timed, 0, 0, 1 - timed, ranged, 1 if within else 0)


class Onboarding(NamedTuple):
    """When the consortium came to know an enterprise, and until when it may bring its history; ms."""

    onboarded: int
    import_until: int


def onboarding(ctx: Context, enterprise: str) -> Onboarding | None:
    """An enterprise's onboarding as this member transaction sees it; None while it is not registered."""
    party = ctx.read(CONSORTIUM, "registry", "identifier", enterprise)
    if party is None:
        return None
    onboarded: int = ctx.read(CONSORTIUM, "registry", "party", party)["onboarded"]
    version = ctx.read(CONSORTIUM, "credit", "model_current")
    model = ctx.read(CONSORTIUM, "credit", "model", version)
    return Onboarding(onboarded, onboarded + model["import_window_days"] * MS_PER_DAY)


def is_historical(known: Onboarding | None, occurred: Moment, sealed_ms: int) -> bool:
    """An event before onboarding, uploaded after it and within the model's import window (DOMAIN 2)."""
    if known is None:
        return False
    return occurred.last * 1_000 <= known.onboarded < sealed_ms <= known.import_until


def bucket_of(record: Record, sealed_ms: int) -> Bucket:
    """The sums a record belongs to: the sealing block's time assigns the period."""
    return (record.enterprise, record.template, record.template_version, month_of(sealed_ms))


class Changes:
    """Sums changed by one transaction, written once at its end however many records it carries."""

    def __init__(self) -> None:
        self._changes: dict[Bucket, Sums] = {}

    def add(self, bucket: Bucket, sums: Sums) -> None:
        """Put a record's sums in."""
        before = self._changes.get(bucket, _ZERO)
        self._changes[bucket] = tuple([a + b for a, b in zip(before, sums, strict=True)])

    def remove(self, bucket: Bucket, sums: Sums) -> None:
        """Take a superseded version's sums out."""
        self.add(bucket, tuple([-value for value in sums]))

    def write(self, ctx: Context) -> None:
        """Apply all changes to the state."""
        for bucket, change in self._changes.items():
            if any(change):
                _apply(ctx, bucket, change)


def _apply(ctx: Context, bucket: Bucket, change: Sums) -> None:
    before = ctx.get("aggregate", *bucket)
    if before is None:
        after = list(change)
        _index(ctx, bucket, present=True)
    else:
        after = [old + value for old, value in zip(before, change, strict=True)]
    assert min(after) >= 0, "more was taken out of an aggregate than was put in"
    if any(after):
        ctx.put("aggregate", *bucket, value=after)
    else:
        ctx.delete("aggregate", *bucket)
        _index(ctx, bucket, present=False)


def _index(ctx: Context, bucket: Bucket, *, present: bool) -> None:
    enterprise, *row = bucket
    rows = ctx.get("aggregate_index", enterprise) or []
    left = [other for other in rows if other != row]
    if present:
        ctx.put("aggregate_index", enterprise, value=sorted([*left, row]))
    elif left:
        ctx.put("aggregate_index", enterprise, value=left)
    else:
        ctx.delete("aggregate_index", enterprise)
