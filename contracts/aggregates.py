"""Running sums over an enterprise's records: all that conformity, timeliness and accuracy need (DOMAIN 1-3).

An assessment reads one row a chain and identifier, whatever the history. The sums always equal a recomputation over
the latest versions of all records: a correction takes out exactly what the version before it had put in, and what it
brings is new in the open period.

State, in the records contract's namespace: ("sums", enterprise) ->
    {"total": [int] in the order of KEYS,
     "periods": [[period, [int]]], newest first, at most PERIODS of them,
     "samples": {measure: [[record id, kind, number]]}, newest first, at most SAMPLES of each of MEASURES,
     "series": root page of the map of contracts/series.py, absent where it is empty}
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any, Final, NamedTuple, TypeAlias

from contracts.access import CONSORTIUM
from contracts.context import Context, Value
from contracts.record import Moment
from contracts.series import Change, Source
from contracts.template import Kind

MS_PER_DAY: Final = 86_400_000
PERIODS: Final = 2  # the open one and the one before it
SAMPLES: Final = 4

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
    "steps_judged",  # steps of all series (contracts/series.py)
    "steps_passed",  # of them, those within their threshold
)
STEPS: Final = KEYS.index("steps_judged")

CONFORMITY: Final = "conformity"  # lacks fields
TIMELINESS: Final = "timeliness"  # late
ACCURACY: Final = "accuracy"  # a value out of its range, or a step beyond its threshold
MEASURES: Final = (ACCURACY, CONFORMITY, TIMELINESS)

Sums: TypeAlias = tuple[int, ...]  # in the order of KEYS

_ZERO: Final[Sums] = (0,) * len(KEYS)


def sums_of(kind: Kind, present: int, within: bool | None, delay: int | None) -> Sums:
    """What one process record or bill adds, its steps apart.

    present: weight of the fields present. within: as `within_ranges` gives it. delay: as `delay_of` gives it.
    """
    late, timed = (0, 0) if delay is None else (delay, 1)
    if kind.category == "bill":
        return (0, 1, present, kind.asked, 0, 0, late, timed, 1 - timed, 0, 0, 0, 0)
    ranged = 0 if within is None else 1
    return (1, 0, present, kind.asked, late, timed, 0, 0, 1 - timed, ranged, 1 if within else 0, 0, 0)


def delay_of(occurred: Moment, sealed_ms: int, historical: bool) -> int | None:
    """Seconds from the event to the sealing block, rounded up, never below 0; None for a historical record.

    sealed_ms: time of the sealing block, which is the upload time (DOMAIN 2).
    """
    return None if historical else max(0, -(-sealed_ms // 1_000) - occurred.last)


class Onboarding(NamedTuple):
    """When the consortium came to know an enterprise, and until when it may bring its history; ms."""

    onboarded: int
    import_until: int


def onboarding(ctx: Context, enterprise: str, model: str) -> Onboarding | None:
    """An enterprise's onboarding as this member transaction sees it; None while it is not registered.

    model: id of the credit model that says how long history may be brought; None too where there is no such model.
    """
    party = ctx.read(CONSORTIUM, "registry", "identifier", enterprise)
    if party is None:
        return None
    onboarded: int = ctx.read(CONSORTIUM, "registry", "party", party)["onboarded"]
    version = ctx.read(CONSORTIUM, "credit", "model_current", model)
    if version is None:
        return None
    window = ctx.read(CONSORTIUM, "credit", "model", model, version)["import_window_days"]
    return Onboarding(onboarded, onboarded + window * MS_PER_DAY)


def is_historical(known: Onboarding | None, occurred: Moment, sealed_ms: int) -> bool:
    """An event before onboarding, uploaded after it and within the model's import window (DOMAIN 2)."""
    if known is None:
        return False
    return occurred.last * 1_000 <= known.onboarded < sealed_ms <= known.import_until


class Running:
    """The sums of one enterprise, read once a transaction and written once at its end."""

    def __init__(self, ctx: Context, enterprise: str) -> None:
        self._ctx = ctx
        self._enterprise = enterprise
        entry: dict[str, Any] | None = ctx.get("sums", enterprise)
        self._periods: list[tuple[int, list[int]]] = [] if entry is None else entry["periods"]
        self._total: Sums = _ZERO if entry is None else tuple(entry["total"])
        self._samples: dict[str, list[Any]] = {} if entry is None else entry["samples"]
        self.series: Value = None if entry is None else entry.get("series")
        self._changes: dict[int, list[Sequence[int]]] = {}
        self._found: dict[str, list[tuple[int, list[Any]]]] = {}
        self._gone: set[bytes] = set()

    def add(self, period: int, sums: Sums) -> None:
        """Put in what a record of a period adds."""
        self._changes.setdefault(period, []).append(sums)

    def remove(self, period: int, sums: Sums, record_id: bytes) -> None:
        """Take out a superseded version: its sums, and itself from the samples."""
        self.add(period, tuple([-value for value in sums]))
        self._gone.add(record_id)
        for measure, found in self._found.items():
            self._found[measure] = [sample for sample in found if sample[1][0] != record_id]

    def steps(self, changes: list[Change]) -> None:
        """Put in steps judged and passed, each in the period of its later record."""
        for period, judged, passed in changes:
            self.add(period, (*_ZERO[:STEPS], judged, passed))

    def sample(self, measure: str, rank: int, source: Source) -> None:
        """Remember a record that lowers a measure; of one transaction's the highest ranks are kept."""
        found = self._found.setdefault(measure, [])
        if len(found) < SAMPLES or rank > found[-1][0]:
            found.append((rank, list(source)))
            found.sort(key=_rank)
            del found[SAMPLES:]

    def write(self) -> None:
        """Put the sums into the state."""
        rows = dict(self._periods)
        total = list(self._total)
        for period, changes in self._changes.items():
            change = [*map(sum, zip(*changes, strict=True))]
            total = [*map(add, total, change)]
            before = rows.get(period)
            if before is not None:
                rows[period] = [*map(add, before, change)]
            elif not rows or period > max(rows):
                rows[period] = change
        newest = sorted(rows, reverse=True)[:PERIODS]
        assert min(total) >= 0, "more was taken out of the sums than was put in"
        entry = {  # sorted: canonical as it stands
            "periods": [[period, rows[period]] for period in newest],
            "samples": self._newest_samples(),
            **({} if self.series is None else {"series": self.series}),
            "total": total,
        }
        self._ctx.put_canonical("sums", self._enterprise, value=entry)

    def _newest_samples(self) -> dict[str, list[Any]]:
        samples = {}
        for measure in MEASURES:
            kept = [row for row in self._samples.get(measure, []) if row[0] not in self._gone]
            found = [row for _, row in self._found.get(measure, [])]
            if rows := [*found, *kept][:SAMPLES]:
                samples[measure] = rows
        return samples


def _rank(found: tuple[int, list[Any]]) -> int:
    return -found[0]
