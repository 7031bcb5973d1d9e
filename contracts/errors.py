"""The one way a contract refuses: a code for programs and a line for people.

Any error raised by a contract becomes a failed receipt, and every write of that transaction is rolled back.
"""

from __future__ import annotations


class ContractError(Exception):
    """A contract's refusal.

    code: UPPER_SNAKE, stable, for programs. message: one line that names what is wrong and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
