"""The vault of a member: its own documents at rest, deposits of them for custody, and copies held for others.

Nothing here is ever written unencrypted. All calls block (a node makes them from threads) and are safe from many
threads at once. What a call that writes has returned for is durable.
"""

from __future__ import annotations

from node.vault.copies import Copies, Incoming
from node.vault.index import Deposit
from node.vault.own import Item
from node.vault.vault import Vault

__all__ = ["Copies", "Deposit", "Incoming", "Item", "Vault"]
