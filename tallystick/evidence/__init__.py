"""The bundle that goes to court: made from a node, checked without one.

``archive`` is its outer form, ``manifest`` its list of files and the claimant's signature, ``contents`` what its
proofs say, ``checks`` the ordered checks, ``verdict`` what a lawyer reads, ``trust`` what the verifier brings along,
``assemble`` the export. Checking begins at `verify_bundle`; docs/evidence.md describes the format.
"""

from tallystick.evidence.checks import CHECKS, Check
from tallystick.evidence.verdict import FAIL, PASS, UNANCHORED, BundleVerdict, Outcome
from tallystick.evidence.verify import verify_bundle

__all__ = ["CHECKS", "FAIL", "PASS", "UNANCHORED", "BundleVerdict", "Check", "Outcome", "verify_bundle"]
