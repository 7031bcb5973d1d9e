"""The credit model: every parameter of a rating or a limit, voted in by the consortium, hashed and versioned.

A model is a plain dict in the state (JSON in genesis/models). `parse` checks it and gives it names and types;
docs/credit.md explains each field. Several models stand side by side, one for each industry: a template names the
one its contracts are judged by, and what a model does not say for all, its version 2 says for the next ones only.

State, on the consortium chain, in the credit contract's namespace:
    ("model", id, version) -> the document; ("model_current", id) -> its newest version
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts.access import CONSORTIUM
from contracts.context import Context
from contracts.errors import ContractError
from contracts.ratings import Band
from contracts.statistics import B

RATINGS = ("conformity", "timeliness", "accuracy", "truth")
MAX_BANDS = 16
MAX_WEIGHT = 1_000_000
MAX_DAYS = 3_650
STAGES = ("order", "in_transit", "receivable")  # of the borrowing base: each repays the one before it


class Advance(NamedTuple):
    """Half-open interval [low, high) of the composite R and the advance rate its grade earns."""

    grade: str
    low: int
    high: int | None
    advance_bp: int


class Eligibility(NamedTuple):
    """What keeps a receivable out of the borrowing base, beside falsehood, dispute and repayment.

    past_due_days: older than so many days past its due day. cross_aging_bp: with more than this share of a debtor's
    receivables past due, none of that debtor's count. concentration_bp: most that one debtor's may make up of all.
    confirmed_only: only what the debtor has confirmed with its own key counts.
    """

    past_due_days: int
    cross_aging_bp: int
    concentration_bp: int
    confirmed_only: bool


class Model(NamedTuple):
    """A checked credit model. Rates and shares in basis points, caps in minor units."""

    id: str
    version: int
    weights: dict[str, int]
    bands: dict[str, tuple[Band, ...]]
    composite: tuple[Advance, ...]
    fallback: dict[str, str]
    delay_weights: tuple[int, int]
    accuracy_weights: tuple[int, int]
    haircuts: dict[str, int]
    contract_floor_bp: int
    obligor_caps: dict[str, int]
    import_window_days: int
    assessment_valid_days: int
    stage_advance: dict[str, int]  # advance rate of each of STAGES in the borrowing base
    eligibility: Eligibility
    grace_days: int  # after the due day, before a loan is overdue
    silent_periods: int  # closed periods without a record, after which an active line raises SILENT


def parse(document: Any) -> Model:
    """Check a model document. Raises ContractError WRONG_MODEL naming the field that is wrong."""
    if type(document) is not dict:
        raise _wrong("the model is a map")
    bands = _map(document, "bands")
    if sorted(bands) != sorted(RATINGS):
        raise _wrong(f"bands names exactly {', '.join(RATINGS)}")
    weights = _integers(document, "weights", MAX_WEIGHT)
    if sorted(weights) != sorted(RATINGS) or not any(weights.values()):
        raise _wrong(f"weights names exactly {', '.join(RATINGS)}, not all 0")
    parsed = {name: _bands(name, bands[name]) for name in RATINGS}
    return Model(
        id=_text(document, "id"),
        version=_integer(document, "version", 1, 2**31),
        weights=weights,
        bands=parsed,
        composite=_advances(document.get("composite")),
        fallback=_fallback(document, parsed),
        delay_weights=_pair(document, "delay_weights", "process", "bill"),
        accuracy_weights=_pair(document, "accuracy_weights", "range", "fluctuation"),
        haircuts=_integers(document, "haircuts", B),
        contract_floor_bp=_integer(document, "contract_floor_bp", 0, B),
        obligor_caps=_integers(document, "obligor_caps", 2**63 - 1),
        import_window_days=_integer(document, "import_window_days", 0, MAX_DAYS),
        assessment_valid_days=_integer(document, "assessment_valid_days", 1, MAX_DAYS),
        stage_advance=_stage_advance(document),
        eligibility=_eligibility(document),
        grace_days=_integer(document, "grace_days", 0, MAX_DAYS),
        silent_periods=_integer(document, "silent_periods", 1, 1_000),
    )


def current(ctx: Context, model_id: str) -> Model:
    """The version of a model that is in force now. Raises ContractError MODEL_MISSING."""
    version = ctx.read(CONSORTIUM, "credit", "model_current", model_id)
    if version is None:
        raise ContractError("MODEL_MISSING", f"no model {model_id[:32]!r} is adopted: credit.adopt_model enters one")
    return at(ctx, model_id, version)


def at(ctx: Context, model_id: str, version: int) -> Model:
    """One adopted version of a model: what an assessment or a line names."""
    return parse(ctx.read(CONSORTIUM, "credit", "model", model_id, version))


def advance(model: Model, composite: int) -> Advance:
    """The composite's grade and advance rate."""
    for band in model.composite:
        if band.low <= composite and (band.high is None or composite < band.high):
            return band
    raise ValueError(f"no composite band holds {composite}")


def _wrong(rule: str) -> ContractError:
    return ContractError("WRONG_MODEL", rule)


def _map(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise _wrong(f"{name} is a map")
    return value


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if type(value) is not str or not 0 < len(value) <= 32:
        raise _wrong(f"{name} is text of 1 to 32 characters")
    return value


def _integer(document: dict[str, Any], name: str, low: int, high: int) -> int:
    value = document.get(name)
    if type(value) is not int or not low <= value <= high:
        raise _wrong(f"{name} is an integer from {low} to {high}")
    return value


def _integers(document: dict[str, Any], name: str, high: int) -> dict[str, int]:
    values = _map(document, name)
    return {key: _integer(values, key, 0, high) for key in sorted(values)}


def _pair(document: dict[str, Any], name: str, first: str, second: str) -> tuple[int, int]:
    values = _integers(document, name, MAX_WEIGHT)
    if sorted(values) != sorted((first, second)) or not any(values.values()):
        raise _wrong(f"{name} names {first} and {second}, not both 0")
    return values[first], values[second]


def _stage_advance(document: dict[str, Any]) -> dict[str, int]:
    rates = _integers(document, "stage_advance", B)
    if sorted(rates) != sorted(STAGES):
        raise _wrong(f"stage_advance names exactly {', '.join(STAGES)}")
    return rates


def _eligibility(document: dict[str, Any]) -> Eligibility:
    given = _map(document, "eligibility")
    if sorted(given) != sorted(Eligibility._fields):
        raise _wrong(f"eligibility names exactly {', '.join(Eligibility._fields)}")
    return Eligibility(
        past_due_days=_integer(given, "past_due_days", 0, MAX_DAYS),
        cross_aging_bp=_integer(given, "cross_aging_bp", 0, B),
        concentration_bp=_integer(given, "concentration_bp", 1, B),
        confirmed_only=_integer(given, "confirmed_only", 0, 1) == 1,
    )


def _intervals(name: str, rows: Any, measure: str) -> list[tuple[str, int, int | None, int]]:
    """Rows {grade, low, high, <measure>}: contiguous half-open intervals from 0 up, the last one unbounded."""
    if type(rows) is not list or not 0 < len(rows) <= MAX_BANDS:
        raise _wrong(f"{name} is a list of 1 to {MAX_BANDS} bands")
    found: list[tuple[str, int, int | None, int]] = []
    expected: int | None = 0
    for row in rows:
        if type(row) is not dict:
            raise _wrong(f"a band of {name} is a map")
        low, high = row.get("low"), row.get("high")
        if expected is None or low != expected or type(low) is not int:
            raise _wrong(f"the bands of {name} start at 0 and each starts where the one before it ends")
        if high is not None and (type(high) is not int or high <= low):
            raise _wrong(f"a band of {name} ends after it starts, or has no end (null)")
        found.append((_text(row, "grade"), low, high, _integer(row, measure, 0, B)))
        expected = high
    if expected is not None:
        raise _wrong(f"the last band of {name} has no end (null)")
    if len({grade for grade, *_ in found}) != len(found):
        raise _wrong(f"each grade of {name} stands once")
    return found


def _bands(name: str, rows: Any) -> tuple[Band, ...]:
    bands = tuple(Band(*row) for row in _intervals(name, rows, "points"))
    points = [band.points for band in bands]
    ordered = sorted(points, reverse=name == "timeliness")
    if points != ordered:
        raise _wrong(f"{name}: a better value never earns fewer points")
    return bands


def _advances(rows: Any) -> tuple[Advance, ...]:
    bands = tuple(Advance(*row) for row in _intervals("composite", rows, "advance_bp"))
    rates = [band.advance_bp for band in bands]
    if rates != sorted(rates):
        raise _wrong("composite: a higher composite never earns a lower advance rate")
    return bands


def _fallback(document: dict[str, Any], bands: dict[str, tuple[Band, ...]]) -> dict[str, str]:
    named = _map(document, "fallback")
    for rating in sorted(named):
        if rating not in bands or named[rating] not in {band.grade for band in bands[rating]}:
            raise _wrong(f"fallback {rating} names a grade of that rating")
    return {rating: named[rating] for rating in sorted(named)}
