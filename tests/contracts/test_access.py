"""Who may do what: keys to owners, roles, rights, m of n, and validity by height."""

from __future__ import annotations

import pytest

from contracts import access, catalog
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key
from tests.contracts.small_consortium import consortium, document


@pytest.fixture
def ledger() -> Ledger:
    return consortium()


def authorised(ledger: Ledger, method: str, *names: str) -> access.Actor:
    context = MemoryContext(ledger, CONSORTIUM, method.split(".")[0], signers=[key(name) for name in names])
    return access.authorise(context, method)


def refused(ledger: Ledger, method: str, *names: str) -> str:
    with pytest.raises(ContractError) as caught:
        authorised(ledger, method, *names)
    assert "\n" not in caught.value.message
    return caught.value.code


def add_key(ledger: Ledger, signer: str, name: str, rights: list[str]) -> Receipt:
    args: Args = {"key": key(name), "purpose": "signer", "rights": rights}
    return ledger.call(CONSORTIUM, "registry.add_key", args, [key(signer)])


def test_a_key_stands_for_its_member_and_role(ledger: Ledger) -> None:
    actor = authorised(ledger, "credit.decide", "lender")
    assert (actor.owner, actor.id, actor.role) == ("member", "lender", "lender")
    party = authorised(ledger, "credit.apply", "acme")
    assert (party.owner, party.id, party.role) == ("party", "acme", "party")


def test_the_method_table_decides_by_role(ledger: Ledger) -> None:
    assert refused(ledger, "credit.decide", "procurement") == "ROLE_NOT_ALLOWED"
    assert refused(ledger, "notary.preserve", "acme") == "ROLE_NOT_ALLOWED"


def test_keys_that_sign_nothing(ledger: Ledger) -> None:
    assert refused(ledger, "records.submit", "stranger") == "UNKNOWN_SIGNER"
    assert refused(ledger, "records.submit", "erp network") == "WRONG_KEY_PURPOSE"
    assert refused(ledger, "records.submit", "erp validator") == "WRONG_KEY_PURPOSE"


def test_one_transaction_has_one_owner(ledger: Ledger) -> None:
    assert refused(ledger, "credit.assess", "erp", "lender") == "MIXED_SIGNERS"
    assert refused(ledger, "credit.apply", "erp", "acme") == "MIXED_SIGNERS"


def test_rights_are_by_method(ledger: Ledger) -> None:
    assert add_key(ledger, "erp", "erp job", ["records.submit"]).ok
    ledger.next_block()
    assert authorised(ledger, "records.submit", "erp job").id == "erp"
    assert refused(ledger, "credit.assess", "erp job") == "RIGHT_MISSING"
    assert refused(ledger, "credit.assess", "erp", "erp job") == "RIGHT_MISSING"


def test_a_key_is_valid_from_the_next_block_and_ends_with_its_last(ledger: Ledger) -> None:
    assert add_key(ledger, "erp", "erp 2", ["*"]).ok
    assert refused(ledger, "records.submit", "erp 2") == "KEY_NOT_VALID"
    ledger.next_block()
    assert authorised(ledger, "records.submit", "erp 2").id == "erp"
    assert ledger.call(CONSORTIUM, "registry.revoke_key", {"key": key("erp 2")}, [key("erp")]).ok
    assert authorised(ledger, "records.submit", "erp 2").id == "erp"
    ledger.next_block()
    assert refused(ledger, "records.submit", "erp 2") == "KEY_NOT_VALID"


def test_m_of_n(ledger: Ledger) -> None:
    assert add_key(ledger, "lender", "lender 2", ["*"]).ok
    args: Args = {"method": "credit.disburse", "count": 2}
    ledger.next_block()
    assert ledger.call(CONSORTIUM, "registry.set_threshold", args, [key("lender")]).ok
    assert refused(ledger, "credit.disburse", "lender") == "MORE_SIGNATURES_NEEDED"
    assert len(authorised(ledger, "credit.disburse", "lender", "lender 2").rights) == 2
    assert authorised(ledger, "credit.decide", "lender").id == "lender"
    every: Args = {"method": "*", "count": 2}
    assert ledger.call(CONSORTIUM, "registry.set_threshold", every, [key("lender")]).ok
    assert refused(ledger, "credit.decide", "lender") == "MORE_SIGNATURES_NEEDED"


def test_signers_of_several_owners_can_be_told_apart(ledger: Ledger) -> None:
    context = MemoryContext(ledger, CONSORTIUM, "notary", signers=[key("acme"), key("lender")])
    found = {(signer.owner, signer.id, signer.role) for signer in access.signers(context)}
    assert found == {("party", "acme", "party"), ("member", "lender", "lender")}


def test_the_table_holds_every_method_of_every_contract_and_no_other() -> None:
    methods = {f"{name}.{method}" for (name, _), found in catalog.CONTRACTS.items() for method in found.methods}
    assert methods == set(access.METHOD_ROLES)


def test_the_catalog_says_where_a_contract_runs() -> None:
    kinds = {name: contract.kind for (name, _), contract in catalog.CONTRACTS.items()}
    assert {name for name, kind in kinds.items() if kind == "member"} == {"market", "records"}
    assert set(kinds.values()) == {"member", "consortium"}


def test_a_failed_call_leaves_nothing_behind() -> None:
    """The fake ledger itself: writes before an error are rolled back, values go through the codec."""

    def put_then_fail(ctx: Context, _args: Args) -> Value:
        ctx.put("x", value=[1, (2, 3)])
        assert ctx.get("x") == [1, [2, 3]]
        raise ContractError("NO", "no")

    class Fails:
        def __init__(self) -> None:
            self.METHODS: dict[str, Method] = {"go": put_then_fail}

    ledger = Ledger({"fails": Fails()}, document(members=[]))
    assert ledger.call(CONSORTIUM, "fails.go", {}, []).code == "NO"
    assert ledger.items(CONSORTIUM, "fails") == {}
