"""What custody refuses, and why: an UPPER_SNAKE code and one line that says what to do."""

from __future__ import annotations


class CustodyError(Exception):
    """Something about documents in custody that cannot be done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
