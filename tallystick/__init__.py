"""Tallystick for programmers: keys, signed transactions, a client for any node's API, and offline verification.

Needs no libp2p, no LevelDB and no compiler. A minimal program::

    from tallystick import Client, load_key

    client = Client("http://127.0.0.1:27101")
    key = load_key(Path("keys/signer.json"), passphrase)
    tx = client.sign(key, chain="consortium", contract="credit", method="assess", args={"application": application})
    print(client.submit_and_wait(tx)["receipt"]["result"])
"""

from chain.crypto import SigningKey
from chain.keys import KeyFileError
from chain.keys import load as load_key
from chain.transaction import Transaction
from chain.verification import Verdict, VerificationError, verify_proof
from tallystick.client import (
    Client,
    ClientError,
    NodeUnreachableError,
    OutcomeUnknownError,
    RejectedError,
    TransactionFailedError,
)

__all__ = [
    "Client",
    "ClientError",
    "KeyFileError",
    "NodeUnreachableError",
    "OutcomeUnknownError",
    "RejectedError",
    "SigningKey",
    "Transaction",
    "TransactionFailedError",
    "Verdict",
    "VerificationError",
    "load_key",
    "verify_proof",
]
