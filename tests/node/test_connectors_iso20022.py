"""ISO 20022 undertakings: messages built from the official schemas' classes (python-iso20022), and bad ones."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any

import pytest
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.models.datatype import XmlDate, XmlDateTime

from node.connectors import ConnectorError, RecordDraft, detect, read
from tests.connector_conformity import as_record, by_hand, made_up, survives, without_each_element

LEI = "529900T8BM49AURSDO55"


class Classes:
    """The generated classes of one tsrv message, by their names in the schema."""

    def __init__(self, message: str) -> None:
        self.message = message
        self._module = importlib.import_module(f"python_iso20022.tsrv.tsrv_{message}_001_01.models")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, f"{name}Tsrv{self.message}00101")

    def enum(self, name: str, value: str) -> Any:
        for module in (self._module, importlib.import_module("python_iso20022.enums")):
            if hasattr(module, name):
                return getattr(module, name)(value)
        raise AssertionError(name)

    def party(self, name: str, *numbers: tuple[str, str], bic: str | None = None) -> Any:
        """A party with (scheme code, number) pairs; "" for no scheme, "*" before a proprietary one."""
        others = []
        for code, number in numbers:
            scheme = self.OrganisationIdentificationSchemeName1Choice(
                cd=code if not code.startswith("*") else None, prtry=code[1:] if code.startswith("*") else None
            )
            others.append(self.GenericOrganisationIdentification1(id=number, schme_nm=scheme if code else None))
        organisation = self.OrganisationIdentification8(any_bic=bic, othr=others)
        identification = self.Party11Choice(org_id=organisation) if numbers or bic else None
        return self.PartyIdentification43(nm=name, id=identification)

    def undertaking(self, **changes: Any) -> Any:
        """An undertaking over 50,000 EUR for a contract and an order, until the end of 2026."""
        amount = self.ActiveCurrencyAndAmount(value=Decimal("50000.00"), ccy="EUR")
        expiry = self.ExpiryTerms1(dt_tm=self.DateAndDateTimeChoice(dt=XmlDate(2026, 12, 31)))
        fields: dict[str, Any] = {
            "id": "G-2026-1",
            "nm": self.enum("UndertakingIssuanceName1Code", "DGAR"),
            "tp": self.UndertakingType1Choice(cd="PERF"),
            "issnc_tp": self.enum("IssuanceType1Code", "ISSU"),
            "applcnt": [self.party("Seller AB", ("COID", "556677-8899"), ("TXID", "SE556677889901"))],
            "issr": self.party("Guarantee Bank", ("LEI", LEI), bic="GBNKSESSXXX"),
            "bnfcry": [self.party("Buyer Oy", ("*Y-TUNNUS", "1234567-8"))],
            "dt_of_issnc": XmlDate(2026, 2, 1),
            "udrtkg_amt": self.UndertakingAmount1(amt=amount),
            "xpry_dtls": self.ExpiryDetails1(xpry_terms=expiry),
            "undrlyg_tx": [
                self.UnderlyingTradeTransaction1(tp=self.UnderlyingTradeTransactionType1Choice(cd=code), id=number)
                for code, number in (("CONT", "C-1"), ("PUOR", "O-1"), ("TEND", "T-1"))
            ],
            "udrtkg_terms_and_conds": [self.Narrative1(txt=["Payable on first demand"])],
        }
        return self.Undertaking3(**{**fields, **changes})


def rendered(classes: Classes, **body: Any) -> bytes:
    """The message as a file: the library calls the root after the message, the schema calls it Document."""
    root = f"Tsrv{classes.message}00101"
    xml = XmlSerializer().render(getattr(classes, "")(**body))
    assert f"<ns0:{root} " in xml
    return xml.replace(f"ns0:{root}", "ns0:Document").encode()


def issuance(**changes: Any) -> bytes:
    classes = Classes("001")
    return rendered(
        classes, udrtkg_issnc=classes.UndertakingIssuanceV01(udrtkg_issnc_dtls=classes.undertaking(**changes))
    )


def one(data: bytes) -> RecordDraft:
    (draft,) = read(data, "f")
    return draft


def refusal(data: bytes) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "f")
    assert str(raised.value).startswith("f: ")
    assert str(raised.value).count(": ") >= 2
    return raised.value


def test_an_issuance_is_the_guarantee() -> None:
    data = issuance()
    draft = one(data)
    assert detect(data, "f").name == "iso20022-undertaking"
    assert (draft.kind, draft.issuer, draft.number) == ("guarantee", f"LEI:{LEI}", "G-2026-1")
    assert (draft.enterprise.id, draft.enterprise.name) == ("COID:556677-8899", "Seller AB")
    assert draft.enterprise.identifiers == ("SE556677889901",)
    assert draft.counterparty is not None
    assert (draft.counterparty.id, draft.counterparty.name) == ("Y-TUNNUS:1234567-8", "Buyer Oy")
    assert draft.occurred_at == "2026-02-01"
    assert draft.links == (("contract", "", "C-1"), ("order", "", "O-1")), "a tender is no record"
    assert draft.fields == {
        "amount": "50000.00",
        "currency": "EUR",
        "issue_date": "2026-02-01",
        "expiry_date": "2026-12-31",
        "guarantor_name": "Guarantee Bank",
        "beneficiary_name": "Buyer Oy",
        "purpose": "PERF",
    }
    assert draft.notes == ()
    present = ["amount", "currency", "issue_date", "expiry_date", "guarantor_name", "beneficiary_name", "purpose"]
    assert as_record(draft, data) == by_hand("guarantee", present) == 8_571  # all but the grade: 12 of 14


def test_the_advice_and_the_notification_carry_the_same_guarantee() -> None:
    advice, notification = Classes("002"), Classes("003")
    advised = rendered(
        advice,
        udrtkg_issnc_advc=advice.UndertakingIssuanceAdviceV01(
            advsg_pty=advice.party("Advising Bank"),
            dt_of_advc=advice.DateAndDateTimeChoice(dt=XmlDate(2026, 2, 3)),
            udrtkg_issnc_advc_dtls=advice.UndertakingAdvice1(
                udrtkg_issnc_msg=advice.UndertakingIssuanceMessage(udrtkg_dtls=advice.undertaking())
            ),
        ),
    )
    notified = rendered(
        notification,
        udrtkg_issnc_ntfctn=notification.UndertakingIssuanceNotificationV01(
            udrtkg_issnc_ntfctn_dtls=notification.UndertakingAdvice2(
                applcnt_ref_nb="1",
                udrtkg_issnc_msg=notification.UndertakingIssuanceMessage(udrtkg_dtls=notification.undertaking()),
            )
        ),
    )
    assert read(advised, "f") == read(notified, "f") == read(issuance(), "f")


def test_what_the_undertaking_lacks_stays_absent() -> None:
    classes = Classes("001")
    data = issuance(
        tp=None,
        undrlyg_tx=[],
        xpry_dtls=classes.ExpiryDetails1(xpry_terms=classes.ExpiryTerms1(cond="on delivery")),
        issr=classes.party("", bic="GBNKSESSXXX"),
    )
    draft = one(data)
    assert draft.issuer == "BIC:GBNKSESSXXX"
    assert draft.links == ()
    assert sorted(draft.fields) == ["amount", "beneficiary_name", "currency", "issue_date"]
    assert as_record(draft, data) == by_hand("guarantee", ["amount", "beneficiary_name", "currency", "issue_date"])


def test_an_expiry_with_a_time_and_a_type_of_ones_own() -> None:
    classes = Classes("001")
    moment = classes.DateAndDateTimeChoice(dt_tm=XmlDateTime(2026, 12, 31, 23, 59, 59, 0, 60))
    draft = one(
        issuance(
            xpry_dtls=classes.ExpiryDetails1(xpry_terms=classes.ExpiryTerms1(dt_tm=moment)),
            tp=classes.UndertakingType1Choice(prtry=classes.GenericIdentification1(id="ADVANCE")),
        )
    )
    assert draft.fields["expiry_date"] == "2026-12-31T22:59:59Z"
    assert draft.fields["purpose"] == "ADVANCE"


def test_customer_numbers_go_last_and_a_wrong_lei_is_noted() -> None:
    classes = Classes("001")
    draft = one(
        issuance(
            applcnt=[classes.party("Seller AB", ("CUST", "17"), ("TXID", "SE1"), ("*OWN", "X"), ("", "99"))],
            issr=classes.party("Bank", ("LEI", LEI[:-1] + "6")),
        )
    )
    assert (draft.enterprise.id, draft.enterprise.identifiers) == ("OWN:X", ("SE1", "17", "99"))
    assert draft.issuer == f"LEI:{LEI[:-1]}6"
    assert draft.notes == (f"'LEI:{LEI[:-1]}6' is no valid LEI (ISO 17442): kept as it is",)


def test_several_applicants_are_refused_and_several_beneficiaries_noted() -> None:
    classes = Classes("001")
    two = [classes.party("A"), classes.party("B")]
    assert "2 applicants (Applcnt)" in str(refusal(issuance(applcnt=two)))
    assert "0 applicants (Applcnt)" in str(refusal(issuance(applcnt=[])))
    draft = one(issuance(bnfcry=two))
    assert draft.counterparty is not None
    assert draft.counterparty.id == "A"
    assert draft.notes == ("2 beneficiaries: the first is kept",)
    assert refusal(issuance(bnfcry=[])).code == "MISSING"


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("005", "an amendment"),
        ("012", "a termination"),
        ("013", "a demand"),
        ("019", "a status report"),
        ("099", "a message that is not known here"),
    ],
)
def test_other_messages_of_the_family_are_refused_by_name(message: str, what: str) -> None:
    error = refusal(f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:tsrv.{message}.001.01"/>'.encode())
    assert error.code == "NOT_SUPPORTED"
    assert f"tsrv.{message} is {what}, no guarantee" in str(error)


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("<ns0:Id>G-2026-1</ns0:Id>", "", "MISSING", "the undertaking's number (Id) is missing"),
        (">50000.00<", ">-1<", "BAD_VALUE", "Amt is -1"),
        (">50000.00<", "><", "MISSING", "UdrtkgAmt/Amt is empty"),
        (">50000.00<", ">***<", "BAD_VALUE", "Amt is '***'"),
        ("ns0:UdrtkgAmt>", "ns0:X>", "MISSING", "UdrtkgAmt/t:Amt is missing"),
        (">2026-02-01<", ">2026-02-30<", "BAD_VALUE", "DtOfIssnc is '2026-02-30'"),
        (">2026-02-01<", ">1960-02-01<", "BAD_VALUE", "DtOfIssnc is 1960-02-01, before 1970"),
        (">2026-02-01<", "><", "MISSING", "DtOfIssnc is missing"),
        (">2026-12-31<", ">never<", "BAD_VALUE", "Dt is 'never'"),
        ("ns0:Issr>", "ns0:X>", "MISSING", "t:Issr is missing"),
        ("ns0:UdrtkgIssncDtls>", "ns0:X>", "MISSING", "t:UdrtkgIssncDtls is missing"),
        ("ns0:Document", "ns0:Envelope", "UNKNOWN_FORMAT", "the root element is 'Envelope'"),
    ],
)
def test_wrong_messages_are_refused_by_element_and_rule(old: str, new: str, code: str, message: str) -> None:
    data = issuance()
    assert old.encode() in data
    error = refusal(data.replace(old.encode(), new.encode()))
    assert message in str(error)
    assert error.code == code


def test_whatever_element_is_missing_nothing_is_made_up() -> None:
    whole = one(issuance())
    for data in without_each_element(issuance()):
        try:
            draft = one(data)
        except ConnectorError:
            continue
        assert set(draft.fields) <= set(whole.fields)
        assert made_up(draft, data) == []


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    accepted, refused = survives(issuance(), 300)
    assert accepted > 20
    assert refused > 50
