"""What waits for somebody: its newest notices, held against the state of now, so that nothing done is asked for.

A lender's queue is about its applications and lines; an enterprise's or buyer's about lenders to choose, assignments
to acknowledge and disputes. Alerts are shown to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cli import court_inbox
from cli.output import money

if TYPE_CHECKING:
    from tallystick.client import Client

LOOKED_AT: Final = 500
"""Newest notices; what has waited longer than so many notices is found with ``--after``."""
ALERTS_SHOWN: Final = 5

Notice = dict[str, Any]


class Item(NamedTuple):
    """One thing to do. id: of the application or record it is about, "" where none; amount: for people, or ""."""

    what: str
    id: str
    about: str
    amount: str
    command: str


def open_work(client: Client, recipient: str) -> list[Item]:
    """The open work of a member or party, in the order of urgency."""
    notices: list[Notice] = client.inbox(recipient, newest=True, limit=LOOKED_AT)["notices"]
    latest: dict[str, dict[str, Notice]] = {}
    for notice in notices:
        application = notice["data"].get("application") or (
            notice["data"].get("id") if notice["name"] == "applied" else None
        )
        if application is not None:
            latest.setdefault(application, {})[notice["name"]] = notice
    found = [item for application in latest for item in _of_application(client, recipient, application, latest)]
    return [
        *_overdue_first(found),
        *_cases(client, recipient),
        *_to_acknowledge(notices),
        *_disputes(notices),
        *_alerts(notices),
    ]


def _of_application(
    client: Client, recipient: str, application: str, latest: dict[str, dict[str, Notice]]
) -> list[Item]:
    asked = client.state("consortium", "credit", "application", bytes.fromhex(application))
    if asked is None:
        return []
    about = f"{asked['enterprise']}, {asked['contract'][0]} {asked['contract'][2]}"
    if not asked["lender"]:
        chosen = Item("choose a lender", application, about, "", "tally match lender, tally credit choose")
        return [chosen] if recipient in (asked["enterprise"], asked["by"][1]) else []
    if asked["lender"] != recipient:
        return []
    told = latest[application]
    if asked["state"] == "applied":
        return [Item("assess", application, about, "", "tally credit assess")]
    if asked["state"] == "assessed":
        data = told["assessed"]["data"] if "assessed" in told else {}
        return [Item("decide", application, about, _money(data, "limit"), "tally credit decide")]
    line = client.state("consortium", "credit", "line", bytes.fromhex(application))
    if line is None:
        return []
    items = []
    if line["state"] == "overdue":
        owed = money(line["outstanding"], line["scale"], line["currency"])
        items.append(Item("collect: overdue", application, about, owed, "tally credit line"))
    if asked["disbursed"] < asked["approved"]:
        left = money(asked["approved"] - asked["disbursed"], line["scale"], line["currency"])
        items.append(Item("pay out", application, about, left, "tally credit disburse"))
    if line["undecided"]:
        rise = _money(told["increment"]["data"], "increment") if "increment" in told else ""
        items.append(Item("decide on the increment", application, about, rise, "tally credit extend"))
    return items


def _overdue_first(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: not item.what.startswith("collect"))


def _cases(client: Client, recipient: str) -> list[Item]:
    return [Item(row.what, row.case, row.about, "", row.command) for row in court_inbox.waiting(client, recipient)]


def _to_acknowledge(notices: list[Notice]) -> list[Item]:
    """Assignments that a debtor was told of and has not acknowledged."""
    waiting: dict[str, Notice] = {}
    for notice in notices:
        bill = str(notice["data"].get("bill"))
        if notice["name"] == "assignment_notified":
            waiting[bill] = notice
        elif notice["name"] in ("acknowledged", "released"):
            waiting.pop(bill, None)
    return [
        Item("acknowledge the assignment", "", _bill(notice["data"]), "", "tally credit acknowledge")
        for notice in waiting.values()
    ]


def _disputes(notices: list[Notice]) -> list[Item]:
    open_ones: dict[str, Notice] = {}
    for notice in notices:
        bill = str(notice["data"].get("bill"))
        if notice["name"] == "disputed":
            open_ones[bill] = notice
        elif notice["name"] == "dispute_resolved" and notice["data"]["status"] != "open":
            open_ones.pop(bill, None)
    return [Item("disputed", "", _bill(notice["data"]), "", "tally credit resolve") for notice in open_ones.values()]


def _alerts(notices: list[Notice]) -> list[Item]:
    alerts = [notice["data"] for notice in notices if notice["name"] == "alert"][-ALERTS_SHOWN:]
    show = "tally query state consortium credit alert n:{}"
    return [
        Item(f"look at: {alert['rule']}", alert["id"], alert["text"], "", show.format(alert["number"]))
        for alert in reversed(alerts)
    ]


def said(name: str, data: dict[str, Any]) -> str:
    """A notice in one line."""
    if name == "alert":
        return f"{data['rule']}: {data['text']}"
    if name.startswith("case_"):
        return court_inbox.said(data)
    parts = [str(data["enterprise"])] if "enterprise" in data else []
    if data.get("bill") or data.get("contract") or "number" in data:
        parts.append(_bill(data))
    parts += [f"by {data['by']}"] if type(data.get("by")) is str else []
    parts += [str(data["decision"])] if "decision" in data else []
    amounts = ("amount", "increment", "lowered_by", "limit", "available", "outstanding")
    parts += [f"{what.replace('_', ' ')} {_money(data, what)}" for what in amounts if type(data.get(what)) is int]
    return ", ".join(parts) or ", ".join(f"{key} {value}" for key, value in data.items() if key != "to")


def _bill(data: dict[str, Any]) -> str:
    named = data.get("bill") or data.get("contract") or [data.get("kind", ""), "", data.get("number", "")]
    kind, _, number = named
    return f"{kind} {number}".strip()


def _money(data: dict[str, Any], what: str) -> str:
    if type(data.get(what)) is not int:
        return ""
    return money(data[what], data["scale"], data["currency"]) if "scale" in data else str(data[what])
