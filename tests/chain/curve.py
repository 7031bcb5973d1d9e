"""Edwards25519 by the book, slowly: to make signatures that no honest signer makes, and to judge them.

RFC 8032 § 5.1 with the two liberties that ZIP215 takes: a y that is not reduced is a point, and so is a negative
zero x. Points are affine pairs; nothing here is fast or constant-time.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final, TypeAlias

Point: TypeAlias = tuple[int, int]

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
IDENTITY: Final[Point] = (0, 1)


def add(one: Point, other: Point) -> Point:
    """The sum of two points."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    """scalar · point."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def negate(point: Point) -> Point:
    """- point."""
    return -point[0] % P, point[1]


def decompress(data: bytes) -> Point | None:
    """The point of 32 bytes as ZIP215 reads them, or None if there is none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square:
        return None
    return (-x % P if x & 1 != sign else x), y


def compress(point: Point) -> bytes:
    """The canonical 32 bytes of a point."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def encodings(point: Point) -> list[bytes]:
    """All byte strings that ZIP215 reads as this point: the canonical one first."""
    x, y = point
    ys = [y] if y + P >= 2**255 else [y, y + P]
    signs = [x & 1] if x else [0, 1]
    return [(value | sign << 255).to_bytes(32, "little") for sign in signs for value in ys]


BASE: Final[Point] = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little")) or IDENTITY


def small_order_points() -> list[Point]:
    """The eight points whose order divides 8."""
    found = decompress(bytes(range(32)))
    number = 2
    while found is None or multiply(4 * L, found) == IDENTITY:
        found = decompress(number.to_bytes(32, "little"))
        number += 1
    torsion = multiply(L, found)
    return [multiply(times, torsion) for times in range(8)]


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    """SHA-512(R || A || message) mod L, over the bytes as they stand."""
    return int.from_bytes(sha512(r + a + message).digest(), "little") % L


def zip215(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The rule: S < L, A and R are points, and [8][S]B = [8]R + [8][k]A."""
    s = int.from_bytes(signature[32:], "little")
    a, r = decompress(public_key), decompress(signature[:32])
    if s >= L or a is None or r is None:
        return False
    k = challenge(signature[:32], public_key, message)
    difference = add(multiply(s, BASE), negate(add(r, multiply(k, a))))
    return multiply(8, difference) == IDENTITY


def cofactorless(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The other rule that libraries follow: [S]B = R + [k]A."""
    s = int.from_bytes(signature[32:], "little")
    a, r = decompress(public_key), decompress(signature[:32])
    if s >= L or a is None or r is None:
        return False
    k = challenge(signature[:32], public_key, message)
    return multiply(s, BASE) == add(r, multiply(k, a))
