"""Bounds that every computation of the contracts shares: the unit of ratios, and what an int64 holds.

Ratios are integers in basis points; no float is made anywhere. Where an array library makes long work cheap
(neighbours.py), its 64-bit integers are used only within bounds that were checked.
"""

from __future__ import annotations

B = 10_000
INT64_MAX = 2**63 - 1
