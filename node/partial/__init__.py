"""Partial observers: serving parts of the ledger to them, and being one (docs/partial-observers.md)."""
