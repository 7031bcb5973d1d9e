"""Checking a bundle offline: all checks, in order, one verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chain import evm
from chain.verification import VerificationError
from tallystick.evidence import archive
from tallystick.evidence.case import Case
from tallystick.evidence.checks import CHECKS, Check
from tallystick.evidence.verdict import FAIL, PASS, UNANCHORED, BundleVerdict, Outcome

if TYPE_CHECKING:
    from chain.anchor import Trusted


def verify_bundle(
    bundle: Path | bytes,
    network_id: bytes,
    trusted: Trusted,
    now: int | None = None,
    skip: frozenset[str] = frozenset(),
) -> BundleVerdict:
    """The verdict on a bundle under a genesis hash and what the verifier trusts. Never raises for a bad bundle.

    now: seconds since 1970; what lies in its future fails. skip: names of checks left out, for the tests that show
    that each is needed; nothing else passes it.
    """
    data = bundle if isinstance(bundle, bytes) else bundle.read_bytes()
    try:
        files = archive.read(data)
    except VerificationError as error:
        return BundleVerdict(FAIL, (Outcome("archive", FAIL, (str(error),)),))
    case = Case(data, files, network_id, trusted, now)
    outcomes = tuple(_run(check, case) for check in CHECKS if check.name not in skip)
    states = [outcome.status for outcome in outcomes]
    status = FAIL if FAIL in states else UNANCHORED if UNANCHORED in states else PASS
    return BundleVerdict(status, outcomes)


def _run(check: Check, case: Case) -> Outcome:
    try:
        return Outcome(check.name, PASS, tuple(check.run(case)))
    except evm.UnanchoredError as error:
        return Outcome(check.name, UNANCHORED, (str(error),))
    except (VerificationError, evm.VerificationError) as error:
        return Outcome(check.name, FAIL, (str(error),))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        return Outcome(check.name, FAIL, (f"the bundle is malformed ({type(error).__name__}: {error})",))
