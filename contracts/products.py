"""Insurance products and their hard predicates (DOMAIN 10): what must hold before preference is asked at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from contracts import arguments
from contracts.context import Value
from contracts.errors import ContractError
from contracts.market_schema import FEATURES, check_code
from contracts.neighbours import MAX_VALUE
from contracts.statistics import B

MAX_PRODUCTS: Final = 1_024
MAX_LISTED: Final = 128
MAX_TENOR: Final = 1_200  # months

_FIELDS: Final = (
    "insurer", "code", "industries", "not_industries", "regions", "not_regions", "amount_min", "amount_max",
    "tenor_min", "tenor_max", "composite_min", "rate_bp", "cover_bp", "cover_max",
)  # fmt: skip


class Case(NamedTuple):
    """What predicates ask of an enterprise; None where it is not known. amount: minor units; tenor: months."""

    industry: str | None
    region: str | None
    amount: int | None
    tenor: int | None
    composite: int | None


def check(listed: list[Value], check_insurer: Callable[[str], None]) -> None:
    """Form and bounds of a product list. Raises ContractError naming the product."""
    keys = []
    for place, product in enumerate(listed):
        try:
            _check_product(arguments.mapping(product, "a product"), check_insurer)
        except ContractError as error:
            raise ContractError(error.code, f"product {place + 1}: {error.message}") from None
        keys.append((product["insurer"], product["code"]))
    if keys != sorted(set(keys)):
        raise ContractError("WRONG_DATASET", "products stand in the order (insurer, code), each once")


def unmet(product: Mapping[str, Any], case: Case) -> list[str]:
    """The predicates that exclude a product, in words; none: it fits. What is asked for and not known excludes."""
    found = [
        _listed("industry", case.industry, product["industries"], product["not_industries"]),
        _listed("region", case.region, product["regions"], product["not_regions"]),
        _within("amount", case.amount, product["amount_min"], product["amount_max"]),
        _within("tenor", case.tenor, product["tenor_min"], product["tenor_max"]),
    ]
    if product["composite_min"]:
        found.append(_within("composite", case.composite, product["composite_min"], B))
    return [words for words in found if words is not None]


def cover(product: Mapping[str, Any], amount: int) -> int:
    """What the product pays at most of an amount, minor units, rounded down."""
    return min(int(product["cover_max"]), amount * int(product["cover_bp"]) // B)


def _listed(what: str, value: str | None, allowed: list[str], excluded: list[str]) -> str | None:
    """Codes count by prefix: industry 53 includes 531."""
    if not allowed and not excluded:
        return None
    if value is None:
        return f"{what} is not known"
    if any(value.startswith(prefix) for prefix in excluded):
        return f"{what} {value} is excluded"
    if allowed and not any(value.startswith(prefix) for prefix in allowed):
        return f"{what} {value} is none of {', '.join(allowed[:8])}"
    return None


def _within(what: str, value: int | None, least: int, most: int) -> str | None:
    if value is None:
        return f"{what} is not known"
    return None if least <= value <= most else f"{what} {value} is outside {least} to {most}"


def _check_product(product: dict[str, Value], check_insurer: Callable[[str], None]) -> None:
    arguments.expect(product, *_FIELDS)
    check_insurer(arguments.text(product["insurer"], "insurer", 32))
    arguments.member_id(product["code"], "code")
    for name, column in (("industries", "industry"), ("regions", "region")):
        for field in (name, f"not_{name}"):
            codes = arguments.sequence(product[field], field, 0, MAX_LISTED)
            for code in codes:
                check_code(field, FEATURES[column], arguments.text(code, f"a code of {field}", 32))
            if codes != sorted(set(codes)):
                raise ContractError("WRONG_DATASET", f"{field} stand in order, each once")
    for name, highest in (("amount", MAX_VALUE), ("tenor", MAX_TENOR)):
        low = arguments.integer(product[f"{name}_min"], f"{name}_min", 0, highest)
        arguments.integer(product[f"{name}_max"], f"{name}_max", low, highest)
    arguments.integer(product["composite_min"], "composite_min", 0, B)
    arguments.integer(product["rate_bp"], "rate_bp", 0, B)
    arguments.integer(product["cover_bp"], "cover_bp", 1, B)
    arguments.integer(product["cover_max"], "cover_max", 1, MAX_VALUE)
