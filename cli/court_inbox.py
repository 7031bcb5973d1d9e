"""What of the cases before courts waits for somebody: the creditor's next step, or the court's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from tallystick.client import Client

LOOKED_AT: Final = 200
"""Newest cases of a member."""


class Waiting(NamedTuple):
    """A case and the step that follows. what: to do; command: with which."""

    what: str
    case: str
    about: str
    command: str


_CREDITOR: Final = {
    "opened": ("file the case", "tally evidence export, tally court file"),
    "asked": ("give the court more evidence", "tally court supplement"),
}
_COURT: Final = {
    "filed": ("acknowledge the case", "tally court fetch, tally court acknowledge"),
    "acknowledged": ("decide on the case", "tally court accept, ask or reject"),
}


def cases_of(client: Client, member: str) -> list[dict[str, Any]]:
    """The newest cases of a creditor or court, newest first."""
    count: int = client.state("consortium", "court", "docket_count", member) or 0
    places: list[list[str | int]] = [["docket", member, n] for n in reversed(range(max(0, count - LOOKED_AT), count))]
    ids = client.states("consortium", "court", places) if places else []
    found: list[dict[str, Any]] = (
        client.states("consortium", "court", [["case", case] for case in ids]) if ids else []
    )
    return found


def waiting(client: Client, member: str) -> list[Waiting]:
    """The cases in which the next step is this member's."""
    found = []
    for case in cases_of(client, member):
        steps = _CREDITOR if case["creditor"] == member else _COURT
        step = steps.get(case["state"])
        if step is not None and not (steps is _COURT and case["delivery"] == "hand_in"):
            about = f"{case['enterprise']}, route {case['route']}"
            found.append(Waiting(step[0], case["id"].hex(), about, step[1]))
    return found


def said(data: dict[str, Any]) -> str:
    """A notice of a case in one line."""
    parts = [f"case {data['case'][:12]}… is {data['state']}", data["court"], data["docket"], data["text"]]
    return ", ".join(part for part in parts if part)
