"""The one error of sealing, manifests and key lists."""

from __future__ import annotations


class EnvelopeError(Exception):
    """Something that is not what it was said to be; ``code`` is for programs, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
