"""Events that concern somebody: what a node's inbox, event stream and webhooks deliver (issue of the lender's queue).

An event with a field "to" is a notice: sorted ids of the members and parties concerned. Nothing else decides who
is told, so that every node's inbox holds the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.context import Context, Value

TO = "to"


def notify(ctx: Context, name: str, to: Iterable[str], data: dict[str, Value]) -> None:
    """Emit an event to members and parties by id; "" is nobody. data must not have a field "to" of its own."""
    assert TO not in data, "the field to is the notice's own"
    ctx.emit(name, {**data, TO: sorted({recipient for recipient in to if recipient})})
