"""The initial credit limit ([19], DOMAIN 6), in minor units of one currency, rounded down."""

from __future__ import annotations

from typing import NamedTuple

from contracts.statistics import B


class Guarantee(NamedTuple):
    """One guarantee that counts: amount in minor units, haircut (its gamma) in basis points."""

    amount: int
    haircut_bp: int


class InitialLimit(NamedTuple):
    """The limit and what made it, all in minor units. bound names the term that decided."""

    limit: int
    from_contract: int
    from_guarantees: int
    contract_net: int
    obligor_cap: int | None
    bound: str


def initial_limit(
    contract_net: int,
    advance_bp: int,
    qualification_bp: int,
    guarantees: tuple[Guarantee, ...],
    obligor_cap: int | None,
) -> InitialLimit:
    """L0 = min(C' * adv * q // B**2 + sum(G * gamma // B), C', obligor cap).

    contract_net: C', the contract amount less prepayment, >= 0. advance_bp, qualification_bp and each haircut
    are in 0..B. obligor_cap None is no cap. Each division rounds down, against the borrower.
    """
    for name, value in (("advance", advance_bp), ("qualification", qualification_bp)):
        if not 0 <= value <= B:
            raise ValueError(f"{name} is {value} basis points: it must lie in 0..{B}")
    if contract_net < 0:
        raise ValueError("the contract amount less prepayment is negative: use 0")
    from_contract = contract_net * advance_bp * qualification_bp // (B * B)
    from_guarantees = sum(g.amount * g.haircut_bp // B for g in guarantees)
    terms = [(from_contract + from_guarantees, "formula"), (contract_net, "contract")]
    if obligor_cap is not None:
        terms.append((obligor_cap, "obligor_cap"))
    limit, bound = min(terms, key=lambda term: term[0])
    return InitialLimit(limit, from_contract, from_guarantees, contract_net, obligor_cap, bound)
