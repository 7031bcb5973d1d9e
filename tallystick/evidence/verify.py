"""Checking a bundle offline: all checks, in order, one verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chain import evm
from chain.verification import VerificationError
from contracts.errors import ContractError
from tallystick.evidence import archive
from tallystick.evidence.case import Case
from tallystick.evidence.caveats import caveats
from tallystick.evidence.checks import CHECKS, Check
from tallystick.evidence.verdict import FAIL, PASS, UNANCHORED, BundleVerdict, Outcome
from tallystick.evidence.words import clean

if TYPE_CHECKING:
    from chain.anchor import Trusted

_MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What a check that expects a bundle's form runs into where there is another."""


def verify_bundle(
    bundle: Path | bytes,
    network_id: bytes,
    trusted: Trusted,
    now: int | None = None,
    skip: frozenset[str] = frozenset(),
) -> BundleVerdict:
    """The verdict on a bundle under a genesis hash and what the verifier trusts. Never raises for a bad bundle.

    now: seconds since 1970; a block that is dated after it fails. skip: names of checks left out, for the tests that
    show that each is needed; nothing else passes it. Raises OSError where the file cannot be read.
    """
    data = bundle if isinstance(bundle, bytes) else _read(bundle)
    first, rest = CHECKS[0], CHECKS[1:]
    try:
        files = archive.read(data)
    except VerificationError as error:
        return BundleVerdict(FAIL, (_outcome(first, FAIL, (str(error),)),))
    case = Case(data, files, network_id, trusted, now)
    outcomes = tuple(_run(check, case) for check in (first, *rest) if check.name not in skip)
    states = {outcome.status for outcome in outcomes}
    if FAIL in states:
        return BundleVerdict(FAIL, outcomes)
    status = UNANCHORED if UNANCHORED in states else PASS
    return BundleVerdict(status, outcomes, case.stated, tuple(_existed(case)), case.development, caveats(case))


def _read(path: Path) -> bytes:
    """A file, as far as a bundle may be long and one byte more."""
    with path.open("rb") as file:
        return file.read(archive.MAX_FILE + 1)


def _run(check: Check, case: Case) -> Outcome:
    try:
        return _outcome(check, PASS, tuple(check.run(case)))
    except evm.UnanchoredError as error:
        return _outcome(check, UNANCHORED, (str(error),))
    except (VerificationError, evm.VerificationError) as error:
        return _outcome(check, FAIL, (str(error),))
    except ContractError as error:
        return _outcome(check, FAIL, (error.message,))
    except _MALFORMED as error:
        return _outcome(check, FAIL, (f"the bundle is malformed ({type(error).__name__}: {error})",))


def _outcome(check: Check, status: str, lines: tuple[str, ...]) -> Outcome:
    return Outcome(check.name, status, tuple(map(clean, lines)), check.title, check.title_zh)


def _existed(case: Case) -> list[dict[str, Any]]:
    """By when each record, and the states, existed."""
    rows: list[dict[str, Any]] = [
        _row(case, f"{number} {' '.join(record.natural_key)}", record.done.block.height)
        for number, record in case.records.items()
    ]
    return [*rows, _row(case, "the state of everything else", case.manifest["height"])]


def _row(case: Case, what: str, height: int) -> dict[str, Any]:
    return {"what": what, "height": height, "no_later_than": case.existed.get(height)}
