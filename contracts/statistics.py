"""The two numbers that every rating's arithmetic shares."""

from __future__ import annotations

from typing import Final

B: Final = 10_000
"""Basis points: 10,000 are 1."""
INT64_MAX: Final = 2**63 - 1
"""The largest integer the codec carries."""
