"""Mapping files: how the columns of a member's own table become records, and whose files these are.

A mapping is a JSON file (docs/data-exchange.md, "Mapping files"). Ready ones for common exports lie in ``mappings/``;
a member's own file may extend one of them. It says which column holds what, how dates and numbers are written, and
who the member itself is, since few exports of a system name its owner. It has no constants for anything else: a field
that the table lacks stays absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as MappingOf
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from contracts.record import LINE_COLUMNS, MAX_NAME
from node.connectors import strict_json
from node.connectors.errors import ConnectorError, shown
from node.connectors.events import Identity

MAX_FILE: Final = 256 * 1024
OWN: Final = "own"
KINDS: Final = (
    "contract", "order", "order_response", "order_cancellation", "despatch", "receipt", "return", "invoice",
    "credit_note", "remittance", "event", "guarantee", "qualification", "loan", "repayment",
)  # fmt: skip
"""Kinds that the shipped templates have; a mapping may name another that a consortium's template has."""


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""A column by its header; several are names that systems give it, and the first that the table has is meant."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=MAX_NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartyValue(_Part):
    """A party by its identifier, as records carry it."""

    id: str = Field(min_length=1, max_length=256)
    name: str = ""


class PartyColumns(_Part):
    """A party in the table. column: of its identifiers, the first filled cell counts; scheme: put before it.

    own: it is the member itself, which the columns name only where the mapping does not.
    """

    column: Columns = ()
    name: Columns = ()
    scheme: str = ""
    own: bool = False

    @model_validator(mode="after")
    def _has_column(self) -> PartyColumns:
        if not self.column and not self.name and not self.own:
            raise ValueError("a party needs a column or a name")
        return self


PartySource = Literal["own"] | PartyValue | PartyColumns


class FieldColumns(_Part):
    """A field. pick: which value counts where the rows of one document differ: "same" refuses them.

    values: what words of the system mean ("人民币" is "CNY"); others stay as they are.
    """

    column: Columns = Field(min_length=1)
    type: Literal["", "date", "number", "text"] = ""
    pick: Literal["same", "first", "latest"] = "same"
    values: dict[str, str] = {}


def _field(value: object) -> object:
    return {"column": value} if isinstance(value, (str, list)) else value


FieldSource = Annotated[FieldColumns, BeforeValidator(_field)]


class KindColumn(_Part):
    """Which kind a row is, from a column; rows with none of these values are of other business and left out."""

    column: Columns = Field(min_length=1)
    values: dict[str, Name] = Field(min_length=1)


class Link(_Part):
    """A reference to another record: its number in a column, its issuer one of the parties or unknown ("")."""

    relation: Name
    column: Columns = Field(min_length=1)
    issuer: Literal["", "own", "enterprise", "counterparty"] = ""


class LineColumns(_Part):
    """Columns of a document's lines, one row each. price_base: for how many units the price is."""

    line_id: Columns = ()
    item_id: Columns = ()
    quantity: Columns = ()
    unit: Columns = ()
    price: Columns = ()
    price_base: Columns = ()
    amount: Columns = ()

    def of(self, name: str) -> tuple[str, ...]:
        """The columns of one of LINE_COLUMNS."""
        found: tuple[str, ...] = getattr(self, name)
        return found


class Dates(_Part):
    """How dates stand in text: of YYYY, MM, DD, M, D and what is between; a time of day may follow.

    zone: of times that have none, "+08:00"; without it such a time is left out and the day kept.
    """

    formats: tuple[str, ...] = Field(default=("YYYY-MM-DD",), min_length=1)
    zone: str = Field(default="", pattern=r"^(Z|[+-](0\d|1[0-4]):[0-5]\d)?$")

    @field_validator("formats")
    @classmethod
    def _names_a_day(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for text in formats:
            if text.count("YYYY") != 1 or text.replace("YYYY", "").count("Y") or not {"M", "D"} <= set(text):
                raise ValueError(f"{text!r} is no date format: write one such as DD.MM.YYYY")
        return formats


class Numbers(_Part):
    """How numbers stand in text. A minus may stand behind the number where a system writes it there."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    trailing_minus: bool = False

    @model_validator(mode="after")
    def _differ(self) -> Numbers:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same sign")
        return self


class Csv(_Part):
    """How the text is written. encoding: of text that has no byte order mark and is no UTF-8.

    delimiter: "" tells it from the header.
    """

    delimiter: Literal["", ",", ";", "\t", "|"] = ""
    encoding: Literal["utf-8", "gb18030"] = "utf-8"


class Table(_Part):
    """Rows to records. signature: columns a ready mapping is recognised by.

    optional: layouts of the export differ, and columns of fields may be missing. skip_without_number: rows without a
    number are sums that the system adds. unsigned: kinds whose figures the system writes as negative only because of
    what the kind is. sheet: of a workbook; "" for the only one that has the columns.
    """

    kind: Name | KindColumn
    number: tuple[Columns, ...] = Field(min_length=1)
    issuer: Literal["enterprise", "counterparty"] | PartySource
    enterprise: PartySource
    counterparty: PartySource | None = None
    occurred_at: FieldSource
    fields: dict[Name, FieldSource] = {}
    lines: LineColumns | None = None
    links: tuple[Link, ...] = ()
    signature: tuple[Columns, ...] = ()
    sheet: str = ""
    optional: bool = False
    skip_without_number: bool = False
    unsigned: tuple[Name, ...] = ()
    csv: Csv = Csv()
    numbers: Numbers = Numbers()
    dates: Dates = Dates()

    @field_validator("number", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("fields")
    @classmethod
    def _no_lines(cls, fields: dict[str, FieldColumns]) -> dict[str, FieldColumns]:
        if "lines" in fields:
            raise ValueError("lines is not a field of one column: describe it under table.lines")
        return fields

    @field_validator("lines")
    @classmethod
    def _some_line(cls, lines: LineColumns | None) -> LineColumns | None:
        if lines is not None and not any(lines.of(name) for name in LINE_COLUMNS):
            raise ValueError("lines names no column")
        return lines


class LogParties(_Part):
    """Whose an event log is (EPCIS, OCEL, XES) where the file does not say."""

    issuer: Literal["own"] | PartyValue = OWN
    enterprise: Literal["own"] | PartyValue = OWN
    counterparty: Literal["own"] | PartyValue | None = None


class Mapping(_Part):
    """A mapping file. own: the party whose system wrote the files; table: None where that is all it says."""

    name: str = Field(default="own", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    version: int = Field(default=1, ge=1, lt=2**31)
    title: str = ""
    extends: str = ""
    own: PartyValue | None = None
    log: LogParties = LogParties()
    table: Table | None = None

    @property
    def digest(self) -> str:
        """16 hex digits of what it says: records name the mapping that read them by it."""
        said = self.model_dump(mode="json", exclude={"title", "extends"})
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def reference(self) -> str:
        """Name, version and digest, for the source of records."""
        return f"{self.name}/{self.version}/{self.digest}"

    @property
    def identity(self) -> Identity:
        """The parties of an event log that names none."""
        return Identity(self._id(self.log.issuer), self._id(self.log.enterprise), self._id(self.log.counterparty))

    def _id(self, party: Literal["own"] | PartyValue | None) -> str:
        chosen = self.own if party == OWN else party
        return chosen.id if isinstance(chosen, PartyValue) else ""


def load(name_or_path: str) -> Mapping:
    """A ready mapping by its name, or a mapping file by its path. Raises ConnectorError BAD_MAPPING, one line."""
    if name_or_path in names():
        return ready(name_or_path)
    path = Path(name_or_path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _bad(
            f"no ready mapping and no file that can be read ({error.strerror})",
            f"name a file, or one of {', '.join(names())}",
            name_or_path,
        ) from None
    return parse(data, path.name)


def parse(data: bytes, name: str) -> Mapping:
    """The mapping of a file's content, with what it extends. Raises ConnectorError BAD_MAPPING, naming the file."""
    if len(data) > MAX_FILE:
        raise _bad(f"{len(data)} bytes", f"a mapping has at most {MAX_FILE}", name)
    try:
        document = _plain(strict_json.parse(data))
    except ConnectorError as error:
        raise _bad(error.what, error.advice, name) from None
    if not isinstance(document, dict):
        raise _bad("no JSON object", "write a mapping as docs/data-exchange.md shows", name)
    base = document.get("extends", "")
    if base:
        if base not in names():
            raise _bad(f"it extends {shown(str(base))}", f"extend one of {', '.join(names())}", name)
        document = _merged(_document(base), document)
    return _validated(document, name)


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """The ready mappings, by name."""
    folder = resources.files(__package__) / "mappings"
    return tuple(sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json")))


@lru_cache(maxsize=64)
def ready(name: str) -> Mapping:
    """One of ``names()``."""
    return _validated(_document(name), f"{name}.json")


def _document(name: str) -> dict[str, Any]:
    file = resources.files(__package__) / "mappings" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _validated(document: dict[str, Any], name: str) -> Mapping:
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the mapping"
        raise _bad(f"{place}: {first['msg']}", "correct it as docs/data-exchange.md shows", name) from None


def _merged(base: MappingOf[str, Any], over: MappingOf[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``: objects key by key, except where a party or a field is given anew."""
    merged = dict(base)
    for key, value in over.items():
        held = merged.get(key)
        deep = key in ("table", "fields", "lines", "csv", "numbers", "dates", "log")
        merged[key] = _merged(held, value) if deep and isinstance(held, dict) and isinstance(value, dict) else value
    return merged


def _plain(value: Any) -> Any:
    """Numbers as integers where they are: the only numbers in a mapping."""
    if isinstance(value, strict_json.Number):
        return int(value) if value.isdecimal() and len(value) < 10 else str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _bad(what: str, advice: str, file: str) -> ConnectorError:
    return ConnectorError("BAD_MAPPING", what, advice, shown(file, quote=False))
