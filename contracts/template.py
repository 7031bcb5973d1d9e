"""An industry template, compiled: the check of a record's fields, its completeness and its valid ranges.

A template is a dict in the credit contract's state. Compiling it costs as much as checking a hundred records, so
compiled ones are kept in a memo. The memo is pure: it is keyed by the whole content, never by a name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from contracts import decimal_text
from contracts.context import Value
from contracts.decimal_text import DecimalError, Scaled
from contracts.errors import ContractError
from contracts.record import LINE_COLUMNS, MAX_FIELDS, FieldValue, moment
from contracts.series import Steady, thresholds

PAPER_KINDS: Final = frozenset(
    (
        "contract", "order", "order_response", "order_cancellation", "despatch", "receipt", "return", "invoice",
        "credit_note", "remittance",
    )
)  # fmt: skip
"""Kinds of the papers of a trade: followed unless a template says otherwise, as every bill is."""

CATEGORIES: Final = ("contract", "process", "bill", "guarantee", "qualification", "loan", "case")
MAX_KINDS: Final = 64
MAX_WEIGHT: Final = 1_000
MAX_SCALE: Final = 12
MAX_COMPILED: Final = 64

_NUMERIC: Final = ("money", "decimal", "integer")
_DEFAULT_SCALE: Final = {"money": 2, "decimal": 6, "integer": 0}
# No control characters (a terminal may obey them), no blanks around; re.ASCII pins \s for every Python version.
_TEXT: Final = re.compile(r"(?!\s)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+(?<!\s)", re.ASCII)
_CODE: Final = re.compile(r"(?!\s)[^\x00-\x1f\x7f]{1,128}(?<!\s)", re.ASCII)
_CELL: Final = re.compile(r"(?:(?!\s)[^\x00-\x1f\x7f]+(?<!\s))?", re.ASCII)
_LINE_NUMBERS: Final = tuple(LINE_COLUMNS.index(name) for name in ("quantity", "price", "amount"))
_LINE_TEXTS: Final = tuple(LINE_COLUMNS.index(name) for name in ("line_id", "item_id", "unit"))
_POWERS: Final = tuple(10**places for places in range(decimal_text.MAX_DIGITS + 1))

Matcher = Callable[[str], object]


class Range(NamedTuple):
    """Valid range [low, high] of a field, or of one column of a lines field, in units of 10**-scale; None is open."""

    field: str
    column: int | None
    scale: int
    low: int | None
    high: int | None


class Kind(NamedTuple):
    """What a template asks of one kind of record."""

    kind: str
    category: str
    uploaders: tuple[str, ...]
    # name -> (matcher, or None for lines; weight; what the field must be, for the error)
    rules: dict[str, tuple[Matcher | None, int, str]]
    sealed: tuple[str, ...]  # fields that stay out of the open part
    required: frozenset[str]  # open fields only: a sealed one cannot be seen
    asked: int  # sum of the open fields' weights
    ranges: tuple[Range, ...]
    steady: tuple[Steady, ...]  # values judged for fluctuation
    follow: bool  # its records are held against each other: contracts/book.py


class Template(NamedTuple):
    """A checked, compiled template."""

    id: str
    version: int
    model: str  # id of the credit model its contracts are judged by; "" for none
    time_zone_minutes: int
    kinds: dict[str, Kind]


_compiled: dict[tuple[str, int], list[tuple[Value, Template]]] = {}


def compiled(document: dict[str, Value]) -> Template:
    """Compile a template from the state, or find it in the memo.

    The state holds only documents that `compile_template` has accepted, so equal ones (1 == True) mean the same.
    """
    known = _compiled.setdefault((document["id"], document["version"]), [])
    for content, template in known:
        if content is document or content == document:
            return template
    template = compile_template(document)
    if len(known) >= MAX_COMPILED:
        known.clear()
    known.append((document, template))
    return template


def compile_template(document: Value) -> Template:
    """Check a template document and compile it. Raises ContractError WRONG_TEMPLATE naming what is wrong."""
    if type(document) is not dict:
        raise _wrong("a template is a map")
    template, version = document.get("id"), document.get("version")
    if type(template) is not str or not 0 < len(template) <= 32:
        raise _wrong("id is text of 1 to 32 characters")
    if type(version) is not int or not 1 <= version < 2**31:
        raise _wrong("version is an integer from 1")
    zone = document.get("time_zone_minutes", 0)
    if type(zone) is not int or not -840 <= zone <= 840:
        raise _wrong("time_zone_minutes is an integer from -840 to 840, minutes east of UTC")
    model = document.get("model", "")
    if type(model) is not str:
        raise _wrong("model is the id of a credit model")
    kinds = document.get("kinds")
    if type(kinds) is not dict or not 0 < len(kinds) <= MAX_KINDS:
        raise _wrong(f"kinds is a map of 1 to {MAX_KINDS} kinds")
    return Template(template, version, model, zone, {name: _kind(name, kinds[name]) for name in sorted(kinds)})


def check_fields(kind: Kind, fields: dict[str, FieldValue]) -> int:
    """Hold open fields against the template; gives the weight of those present (of `kind.asked`).

    Raises ContractError UNKNOWN_FIELD, SEALED_FIELD, WRONG_FIELD_TYPE or MISSING_FIELD, naming the field.
    """
    rules = kind.rules
    present = 0
    for name, value in fields.items():
        rule = rules.get(name)
        if rule is None:
            raise _refused_field(kind, name)
        matches, weight, expected = rule
        if matches is None:
            _check_lines(name, value)
        elif type(value) is not str or not matches(value):
            raise ContractError("WRONG_FIELD_TYPE", f"field {name!r} must be {expected}, not {str(value)[:40]!r}")
        present += weight
    if not kind.required <= fields.keys():
        name = min(kind.required - fields.keys())
        raise ContractError("MISSING_FIELD", f"field {name!r} is required for {kind.kind}: fill it in")
    return present


def within_ranges(kind: Kind, fields: dict[str, FieldValue]) -> bool | None:
    """Whether every ranged value present lies within its range ([24], V1); None when the record has none.

    fields: as `check_fields` has accepted them. Absent values are conformity's matter, not accuracy's.
    """
    judged = False
    for name, column, scale, low, high in kind.ranges:
        value = fields.get(name)
        if value is None:
            continue
        for text in (value,) if isinstance(value, str) else [row[column or 0] for row in value]:
            if text:
                judged = True
                if not _is_within(text, scale, low, high):
                    return False
    return True if judged else None


def _is_within(text: str, scale: int, low: int | None, high: int | None) -> bool:
    """Whether decimal text lies in [low, high] * 10**-scale; exact, whichever side has more decimal places."""
    whole, _, fraction = text.partition(".")
    number = int(whole + fraction)
    places = len(fraction)
    if places <= scale:
        number *= _POWERS[scale - places]
        return (low is None or low <= number) and (high is None or number <= high)
    unit = _POWERS[places - scale]
    return (low is None or low * unit <= number) and (high is None or number <= high * unit)


def _check_lines(name: str, rows: FieldValue) -> None:
    if isinstance(rows, str) or not rows:
        raise ContractError("WRONG_FIELD_TYPE", f"field {name!r} must be lines: rows of {', '.join(LINE_COLUMNS)}")
    for index, row in enumerate(rows):
        for column in _LINE_NUMBERS:
            cell = row[column]
            if cell and not _decimal(cell):
                what = f"field {name!r}, row {index + 1}: {LINE_COLUMNS[column]}"
                raise ContractError("WRONG_FIELD_TYPE", f"{what} must be a decimal number, not {cell[:40]!r}")
        for column in _LINE_TEXTS:
            if not _CELL.fullmatch(row[column]):
                raise ContractError(
                    "WRONG_FIELD_TYPE",
                    f"field {name!r}, row {index + 1}: {LINE_COLUMNS[column]} must be trimmed text",
                )


def _refused_field(kind: Kind, name: str) -> ContractError:
    if name in kind.sealed:
        return ContractError(
            "SEALED_FIELD", f"field {name!r} of {kind.kind} is not open: put it under the sealed root, not in fields"
        )
    return ContractError(
        "UNKNOWN_FIELD",
        f"field {name[:40]!r} is not in the template for {kind.kind}: leave it out or use another template",
    )


def _number_matcher(scale: int) -> Matcher:
    """Decimal text with at most scale places that count (zeros may follow), as decimal_text reads it."""
    fraction = rf"[0-9]{{1,{scale}}}0*" if scale else "0+"
    digits = decimal_text.MAX_DIGITS
    return re.compile(rf"(?!.{{{digits},}})[+-]?[0-9]+(?:\.{fraction})?").fullmatch


_decimal: Final = _number_matcher(decimal_text.MAX_DIGITS)


def _is_date(text: str) -> bool:
    try:
        moment(text)
    except ContractError:
        return False
    return True


def _kind(name: str, document: Value) -> Kind:
    if type(document) is not dict:
        raise _wrong(f"kind {name} is a map")
    category, uploaders, fields = (document.get(part) for part in ("category", "uploaders", "fields"))
    if category not in CATEGORIES:
        raise _wrong(f"category of {name} is one of {', '.join(CATEGORIES)}")
    if type(uploaders) is not list or not uploaders or any(type(role) is not str for role in uploaders):
        raise _wrong(f"uploaders of {name} is a list of roles")
    if type(fields) is not dict or not 0 < len(fields) <= MAX_FIELDS:
        raise _wrong(f"fields of {name} is a map of 1 to {MAX_FIELDS} fields")
    rules: dict[str, tuple[Matcher | None, int, str]] = {}
    sealed: list[str] = []
    required: list[str] = []
    ranges: list[Range] = []
    for field in sorted(fields):
        rule = fields[field]
        where = f"field {field} of {name}"
        matcher, weight, expected = _rule(where, rule)
        if not _flag(where, rule, "open", True):
            sealed.append(field)
            continue
        rules[field] = (matcher, weight, expected)
        if _flag(where, rule, "required", False):
            required.append(field)
        ranges.extend(_ranges(field, where, rule))
    asked = sum(weight for _, weight, _ in rules.values())
    follow = _flag(name, document, "follow", category == "bill" or name in PAPER_KINDS)
    return Kind(
        name, category, tuple(uploaders), rules, tuple(sealed), frozenset(required), asked, tuple(ranges),
        thresholds(document), follow,
    )  # fmt: skip


def _rule(where: str, rule: Value) -> tuple[Matcher | None, int, str]:
    if type(rule) is not dict:
        raise _wrong(f"{where} is a map")
    weight = rule.get("weight")
    if type(weight) is not int or not 0 <= weight <= MAX_WEIGHT:
        raise _wrong(f"weight of {where} is an integer from 0 to {MAX_WEIGHT}")
    form = rule.get("type")
    if form in _NUMERIC:
        scale = rule.get("scale", _DEFAULT_SCALE[form])
        if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
            raise _wrong(f"scale of {where} is an integer from 0 to {MAX_SCALE}")
        places = f"a decimal number with at most {scale} places" if scale else "a whole number"
        return _number_matcher(scale), weight, f"{form}, {places}"
    if form == "date":
        return _is_date, weight, "date, YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ"
    if form == "text":
        return _TEXT.fullmatch, weight, "text without blanks around it or control characters; leave it out if empty"
    if form == "code":
        return _CODE.fullmatch, weight, "code, one line of 1 to 128 characters without blanks around it"
    if form == "lines":
        return None, weight, "lines"
    raise _wrong(f"type of {where} is money, decimal, integer, date, text, code or lines")


def _ranges(field: str, where: str, rule: dict[str, Value]) -> list[Range]:
    if rule["type"] == "lines":
        columns = rule.get("columns", {})
        if type(columns) is not dict or any(
            LINE_COLUMNS.index(c) not in _LINE_NUMBERS for c in _known(where, columns)
        ):
            raise _wrong(f"columns of {where} is a map from quantity, price or amount")
        found = [_range(field, LINE_COLUMNS.index(c), f"{c} of {where}", columns[c]) for c in sorted(columns)]
    else:
        found = [_range(field, None, where, rule)]
    ranged = [entry for entry in found if entry.low is not None or entry.high is not None]
    if ranged and rule["type"] not in (*_NUMERIC, "lines"):
        raise _wrong(f"{where} has a range but is no number")
    return ranged


def _known(where: str, columns: dict[str, Value]) -> list[str]:
    for column in columns:
        if column not in LINE_COLUMNS:
            raise _wrong(f"{where} has no column {column[:40]!r}")
    return list(columns)


def _range(field: str, column: int | None, where: str, rule: Value) -> Range:
    if type(rule) is not dict:
        raise _wrong(f"{where} is a map")
    low, high = (_bound(where, rule.get(end)) for end in ("min", "max"))
    scale = max(0 if bound is None else bound.scale for bound in (low, high))
    lowest, highest = (None if bound is None else decimal_text.at_scale(bound, scale) for bound in (low, high))
    if lowest is not None and highest is not None and highest < lowest:
        raise _wrong(f"min of {where} is above its max")
    return Range(field, column, scale, lowest, highest)


def _bound(where: str, text: Value) -> Scaled | None:
    if text is None:
        return None
    if type(text) is not str:
        raise _wrong(f"min and max of {where} are decimal text")
    try:
        return decimal_text.parse(text)
    except DecimalError as error:
        raise _wrong(f"min and max of {where}: {error}") from None


def _flag(where: str, rule: dict[str, Value], name: str, default: bool) -> bool:
    value = rule.get(name, default)
    if type(value) is not bool:
        raise _wrong(f"{name} of {where} is true or false")
    return value


def _wrong(rule: str) -> ContractError:
    return ContractError("WRONG_TEMPLATE", rule)
