"""Custody: a member's documents are delivered to its custodians, checked, healed, brought back, and read."""
