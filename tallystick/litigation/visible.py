"""What strangers wrote, made fit to stand in a sentence of a document: one line, and nothing that does not show.

A name from the chain could hold line ends that make up a further item of the application, marks that turn the writing
direction and with it an amount, or characters that look like none. They are left out of what is set; `facts.json` has
the names as they are.
"""

from __future__ import annotations

import unicodedata
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from tallystick.litigation.facts import CaseFacts

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, formats (direction marks, zero width), surrogates, private and unassigned; line and paragraph ends."""
_LINES: Final = frozenset({"facts_text"})
"""Fields of the claimant's own in which a line end is one."""


def visible(text: str, *, lines: bool = False) -> str:
    """The text without what does not show; blanks of every kind become a blank, line ends stay where `lines`."""
    if lines:
        return "\n".join(visible(line) for line in text.splitlines())
    spaced = "".join(" " if character.isspace() else character for character in text)
    return "".join(character for character in spaced if unicodedata.category(character) not in _INVISIBLE)


def made_visible(facts: CaseFacts) -> CaseFacts:
    """The facts with every text in them made visible, however deep."""
    walked: CaseFacts = _walked(facts, "")
    return walked


def _walked(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return visible(value, lines=name in _LINES)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: _walked(getattr(value, part.name), part.name) for part in fields(value)})
    if isinstance(value, tuple):
        parts = [_walked(part, name) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, dict):
        return {key: _walked(part, name) for key, part in value.items()}
    return value
