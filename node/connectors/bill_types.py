"""Document type codes of bills (UNTDID 1001): which of them are invoices, which are credit notes.

The two sets are those of EN 16931-1 (BT-3) without the pro forma invoice (325), which claims nothing.
"""

from __future__ import annotations

from typing import Final

from node.connectors.errors import ConnectorError, shown

CREDIT_NOTES: Final = frozenset(
    {"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532"}
)
INVOICES: Final = frozenset(
    {
        "80", "82", "84", "130", "202", "203", "204", "211", "218", "219", "295", "326", "331", "380", "383", "384",
        "385", "386", "387", "388", "389", "390", "393", "394", "395", "456", "457", "527", "575", "623", "633",
        "751", "780", "817", "870", "875", "876", "877", "935",
    }
)  # fmt: skip


def kind_of(code: str, what: str) -> str:
    """ "invoice" or "credit_note". what: the element that holds the code. Raises ConnectorError for others."""
    if not code:
        raise ConnectorError("MISSING", f"{what} is missing", "ask the sender for a document that says what it is")
    if code in CREDIT_NOTES:
        return "credit_note"
    if code in INVOICES:
        return "invoice"
    raise ConnectorError(
        "NOT_SUPPORTED", f"{what} is {shown(code)}, no invoice or credit note", "take in the invoice itself (380)"
    )
