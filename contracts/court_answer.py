"""The answer of a court without a node: the text it signs, and its signature held against its registered key.

The text is made from the answer's parts, so that what is signed is what the chain then says, and whoever gets the
file can read it, make it again with any editor and check it with openssl alone. A court that is a member signs with
its registered signer key, which the contract checks. Any other signs with a certificate; the chain keeps certificates
and signature over the same bytes, and whoever relies on them checks them against roots of his own.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import access, arguments
from contracts.access import CONSORTIUM, MEMBER
from contracts.ca_slot import ca_slot
from contracts.context import Args, Context, Value
from contracts.court_case import ACCEPTED, ACKNOWLEDGED, ASKED, REJECTED, REJECTIONS
from contracts.errors import ContractError
from contracts.record import moment

TITLE: Final = "Tallystick court acknowledgement, version 1"
ROWS: Final = (
    "network", "case", "court", "filing", "bundle", "size", "answer", "number", "code", "text", "day",
)  # fmt: skip
RECEIVED: Final = "received"
ASKS: Final = "asks"
ACCEPTS: Final = "accepts"
REJECTS: Final = "rejects"
STATE_AFTER: Final = {RECEIVED: ACKNOWLEDGED, ASKS: ASKED, ACCEPTS: ACCEPTED, REJECTS: REJECTED}
METHOD: Final = {
    RECEIVED: "court.acknowledge",
    ASKS: "court.ask",
    ACCEPTS: "court.accept",
    REJECTS: "court.reject",
}
"""The step through a node that an answer on paper stands for: who may take that one may sign this one."""

MAX_NOTE: Final = 1_000
SIGNATURE_CHARGE: Final = 64
_HIDDEN: Final = frozenset((0x7F, 0x85, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)))
"""Line breaks, and marks that turn the direction of writing. Listed: what else is printable changes with Unicode."""


class Answer(NamedTuple):
    """What a court says on paper. number: its docket number, code: why it rejects; "" where it says none."""

    answer: str
    number: str
    code: str
    text: str
    day: str  # YYYY-MM-DD, as the paper says


def read(args: Args) -> Answer:
    """The answer's parts from a call's arguments. Raises ContractError WRONG_ARGUMENT, WRONG_DATE."""
    kind = args["answer"]
    if kind not in tuple(STATE_AFTER):
        raise ContractError("WRONG_ARGUMENT", f"answer must be one of {', '.join(STATE_AFTER)}")
    number, code, text = (_optional(args[part], part) for part in ("number", "code", "text"))
    if kind == ACCEPTS and not number:
        raise ContractError("WRONG_ARGUMENT", "number must be the court's docket number: who accepts gives one")
    if kind in (ASKS, REJECTS) and not text:
        raise ContractError("WRONG_ARGUMENT", f"text must say what the court {kind}: take it from the paper")
    if (kind == REJECTS) != (code in REJECTIONS) or (code and kind != REJECTS):
        raise ContractError(
            "WRONG_ARGUMENT", f"code must be one of {', '.join(REJECTIONS)} where the court rejects, else empty"
        )
    day = arguments.text(args["day"], "day", 10)
    moment(day)
    return Answer(kind, number, code, text, day)


def paper(network_id: bytes, case: dict[str, Any], filing: int, answer: Answer) -> str:
    """The text that the court signs, UTF-8, each line ended; `case` as the chain holds it."""
    filed = case["filings"][filing]
    values = (
        network_id.hex(),
        case["id"].hex(),
        case["court"] or case["court_name"],
        str(filing),
        filed["bundle"].hex(),
        str(filed["size"]),
        answer.answer,
        answer.number or "-",
        answer.code or "-",
        answer.text or "-",
        answer.day,
    )
    lines = [TITLE, *(f"{name}: {value}" for name, value in zip(ROWS, values, strict=True))]
    return "".join(f"{line}\n" for line in lines)


def signed(ctx: Context, case: dict[str, Any], args: Args, text: str) -> dict[str, Value]:
    """The signature over the text, checked as far as a contract can: {key, signature, ca}.

    Raises ContractError WRONG_KEY, KEY_NOT_VALID, RIGHT_MISSING, MORE_SIGNATURES_NEEDED, WRONG_SIGNATURE, KEY_NEEDED,
    WRONG_ARGUMENT.
    """
    if ("key" in args) == ("ca" in args):
        raise ContractError("WRONG_ARGUMENT", "give either key and signature, or ca: one of them signed the paper")
    if "ca" in args:
        if case["court"]:
            raise ContractError(
                "KEY_NEEDED", f"{case['court']} is a member and signs with its registered key: give key and signature"
            )
        slot = ca_slot(args["ca"])
        ca = {"algorithm": slot["algorithm"], "certificates": slot["certificates"]}
        return {"key": b"", "signature": slot["signature"], "ca": ca}
    key = arguments.binary(args["key"], "key")
    signature = arguments.binary(args["signature"], "signature", 64)
    entry = ctx.read(CONSORTIUM, "registry", "key", key)
    if entry is None or entry["owner"] != MEMBER or entry["id"] != case["court"] or entry["purpose"] != "signer":
        court = case["court"] or f"{case['court_name']}, which is no member: it signs with a certificate (ca)"
        raise ContractError("WRONG_KEY", f"key {key.hex()[:16]} is no signer key of {court}")
    if not access.is_valid_at(entry, ctx.height):
        raise ContractError("KEY_NOT_VALID", f"key {key.hex()[:16]} of {case['court']} has ended: it signs anew")
    _require_right(ctx, case["court"], entry, key, METHOD[args["answer"]])
    ctx.charge(SIGNATURE_CHARGE)
    if not ctx.verify_signature(key, text.encode(), signature):
        raise ContractError(
            "WRONG_SIGNATURE", "the signature is not over this answer to this filing: take the paper as it was signed"
        )
    return {"key": key, "signature": signature, "ca": None}


def _require_right(ctx: Context, court: str, entry: dict[str, Value], key: bytes, method: str) -> None:
    """One key signs a paper: it must be enough for the step."""
    if not access.covers(entry["rights"], method):
        raise ContractError("RIGHT_MISSING", f"key {key.hex()[:16]} of {court} has no right to {method}: use another")
    thresholds = access.member(ctx, court)["thresholds"]
    needed = thresholds.get(method) or thresholds.get("*", 1)
    if needed > 1:
        raise ContractError(
            "MORE_SIGNATURES_NEEDED",
            f"{court} wants {needed} of its keys for {method}: it answers with a transaction",
        )


def one_line(value: Value, what: str, most: int) -> str:
    """Text without a line break or a turn of direction: a paper must not read otherwise than its text is."""
    found = arguments.text(value, what, most)
    if any(ord(sign) < 0x20 or ord(sign) in _HIDDEN for sign in found):
        raise ContractError("WRONG_ARGUMENT", f"{what} must be one line without control characters")
    return found


def _optional(value: Value, what: str) -> str:
    return "" if value == "" else one_line(value, what, MAX_NOTE)
