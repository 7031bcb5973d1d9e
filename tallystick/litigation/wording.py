"""Amounts, days, places and events in the words of one language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from contracts import claims
from contracts.record import SECONDS_PER_DAY, civil_from_days, days_from_civil
from tallystick.litigation import figures
from tallystick.litigation.country import Language
from tallystick.litigation.facts import CaseFacts, Event, Evidence, LitigationError

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Wording:
    """How a case is said in a language."""

    facts: CaseFacts
    language: Language

    @property
    def code(self) -> str:
        return self.language.code

    def say(self, words: str, /, **values: str) -> str:
        """A text of the words with its places filled. Raises LitigationError FORM_VALUE_UNKNOWN."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise LitigationError("FORM_VALUE_UNKNOWN", f"the words {words[:60]!r} ask for {match[1]}")
            return values[match[1]]

        return _PLACE.sub(value, words)

    def text(self, name: str, /, **values: str) -> str:
        """A named text of the words ("texts"), filled."""
        return self.say(self.language.word("texts", name), **values)

    def joined(self, texts: list[str]) -> str:
        return self.language.word("separator").join(texts)

    def number(self, amount: int) -> str:
        """An amount without its currency."""
        return figures.number(amount, self.facts.scale)

    def money(self, amount: int) -> str:
        """An amount with its currency."""
        currency = self.facts.currency
        named = {"currency": self.language.word("currencies", currency), "code": currency}
        pattern = self.language.word_or(self.language.word("money", "other"), "money", currency)
        return self.say(pattern, number=self.number(amount), **named)

    def currency(self) -> str:
        """The currency by name and code, or by its code."""
        code, name = self.facts.currency, self.language.word("currencies", self.facts.currency)
        return code if name == code else f"{name} ({code})"

    def unit(self) -> str:
        """What the amounts of a table are in."""
        currency = self.facts.currency
        return self.language.word_or(self.language.word("currencies", currency), "units", currency)

    def capitals(self, amount: int) -> str:
        """An amount in Chinese capitals with its currency, as bills are filled in."""
        currency = self.language.word("currencies", self.facts.currency)
        return currency + figures.capitals(amount, self.facts.scale)

    def day(self, day: str) -> str:
        return figures.day(day, self.code)

    def next_day(self, day: str) -> str:
        """The day after a day."""
        return self.day(_day_text(_day_number(day) + 1))

    def ceiling(self, ceiling: int | None) -> str:
        return self.language.word("limitless") if ceiling is None else self.money(ceiling)

    def time(self, at: int) -> str:
        """UTC milliseconds as a day and a time of day in the case's time zone."""
        seconds = at // 1_000 + self.facts.zone * 60
        day, rest = divmod(seconds, SECONDS_PER_DAY)
        return f"{self.day(_day_text(day))} {rest // 3_600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"

    def zone(self) -> str:
        sign, minutes = "-" if self.facts.zone < 0 else "+", abs(self.facts.zone)
        return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"

    def event(self, event: Event) -> str:
        """The text of an event: integers are amounts, days are written out, codes have words."""
        values = {name: self._value(name, value) for name, value in event.values}
        return self.say(self.language.word("events", event.code), **values)

    def place(self, on: Event | Evidence) -> str:
        """Chain, block, transaction and record of something, or that it is on no chain."""
        if not on.chain:
            return self.language.word("not_on_chain")
        place = [self.say(self.language.word("place"), chain=on.chain, height=str(on.height))]
        if on.transaction:
            place.append(f"{self.language.word('transaction')} {figures.grouped(on.transaction)}")
        if isinstance(on, Event) and on.record:
            place.append(f"{self.language.word('record')} {figures.grouped(on.record)}")
        return "\n".join(place)

    def formula(self, line: claims.Line) -> str:
        """How the amount of a line came about, with its numbers."""
        values = {"base": self.number(line.base), "rate": figures.rate(line.rate_bp), "days": str(line.days)}
        values |= {"day_count": str(self.facts.agreed.day_count), "paid": self.number(line.base - line.amount)}
        kind = {claims.PENALTY: "charge", claims.COMPOUND: "charge", claims.ACCRUED: "accrued"}.get(line.rule, "open")
        if kind == "charge" and not line.days:
            kind = "set_off"
        return self.say(self.language.word("formulas", kind), **values)

    def _value(self, name: str, value: Any) -> str:
        if isinstance(value, int):
            return self.money(value)
        if _DAY.fullmatch(value):
            return self.day(value)
        if name == "kind":
            return self.language.word("kinds", value)
        return self.language.word("outcomes", value) if name == "outcome" else str(value)


def days_between(first: str, last: str) -> int:
    """Days from a day to another, both counted."""
    return _day_number(last) - _day_number(first) + 1


def _day_number(day: str) -> int:
    return days_from_civil(int(day[:4]), int(day[5:7]), int(day[8:10]))


def _day_text(number: int) -> str:
    year, month, day = civil_from_days(number)
    return f"{year:04d}-{month:02d}-{day:02d}"
