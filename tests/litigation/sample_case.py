"""A case to write documents of: three instalments, one paid late and one in part, a guarantor and a pledge.

The names are invented. The amounts come from contracts/claims.py over entries of the state's own shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts import claims
from contracts.claims import Claim, Cost, Terms
from tallystick.litigation import (
    Agent,
    BankAccount,
    CaseFacts,
    Collateral,
    Deed,
    Disbursement,
    Event,
    Evidence,
    Guarantor,
    Loan,
    Party,
)

ZONE = 480
AS_OF = "2026-11-24"
TERMS = Terms(penalty_bp=1_020, compound_bp=1_020, day_count=360, acceleration=True)
COSTS = (Cost("lawyer", "委托代理合同（2026）华律代字第118号", 3_500_000), Cost("preservation", "诉前保全", 500_000))


def identifier(name: str) -> bytes:
    """32 bytes that stand for a hash or transaction of the sample."""
    return (name.encode("ascii") * 32)[:32]


def disbursements() -> list[dict[str, Any]]:
    return [
        {
            "id": identifier("disbursed-1"),
            "amount": 300_000_000,
            "disbursed_on": "2026-03-02",
            "schedule": [
                ["2026-06-02", 100_000_000, 5_213_334],
                ["2026-09-02", 100_000_000, 3_475_556],
                ["2026-12-02", 100_000_000, 1_718_889],
            ],
            "height": 120,
        }
    ]


def repayments() -> list[dict[str, Any]]:
    first = identifier("disbursed-1")
    return [
        {
            "id": identifier("repaid-1"),
            "amount": 105_213_334,
            "paid_on": "2026-06-19",
            "allocated": [["2026-06-02", first, 5_213_334, 100_000_000]],
            "height": 480,
        },
        {
            "id": identifier("repaid-2"),
            "amount": 23_000_000,
            "paid_on": "2026-09-21",
            "allocated": [["2026-09-02", first, 3_475_556, 19_524_444]],
            "height": 731,
        },
    ]


def claim(accelerated_on: str | None = "2026-10-12", costs: tuple[Cost, ...] = COSTS) -> Claim:
    return claims.claim(
        None, disbursements(), repayments(), TERMS, AS_OF, ZONE, accelerated_on=accelerated_on, costs=costs
    )


CREDITOR = Party(
    name="江海供应链银行股份有限公司",
    identifier="91310000MA1FL00X8K",
    address="上海市浦东新区世纪大道1196号18层",
    representative="周明远",
    position="董事长",
    phone="021-60000118",
    agent=Agent("李若溪", "上海华律律师事务所", "律师", "021-60000220", "special"),
    account=BankAccount("江海供应链银行股份有限公司", "江海供应链银行上海分行营业部", "3100 0118 6620 0045 71"),
    chain_id="lender",
)
DEBTOR = Party(
    name="苏州恒岳精密机械有限公司",
    identifier="91320500MA1XK7TR2P",
    address="江苏省苏州市吴中区郭巷街道东吴南路88号",
    representative="陈立恒",
    position="执行董事",
    phone="0512-65550188",
    chain_id="supplier",
)
GUARANTOR = Guarantor(
    party=Party(
        name="陈立恒",
        identifier="320502198003120017",
        kind="person",
        address="江苏省苏州市姑苏区干将东路566号",
        phone="13900000188",
    ),
    contract="《最高额保证合同》（JH-BZ-2026-0311）",
    signed_on="2026-02-26",
    ceiling=350_000_000,
)
PLEDGE = Collateral(
    kind="receivables",
    description="苏州恒岳精密机械有限公司对远航重工集团的应收账款（发票AG-2026-0457）",
    contract="《应收账款质押合同》（JH-ZY-2026-0312）",
    ceiling=320_000_000,
    registration="10482650002158873366",
    registered_on="2026-03-02",
)
DEED = Deed(
    id=identifier("deed"),
    number="（2026）沪东证经字第2218号",
    notary="上海市东方公证处",
    signed_on="2026-02-27",
    certificate_number="（2026）沪东证执字第97号",
    certificate_id=identifier("certificate"),
    issued_on="2026-11-20",
    time_limit="2028-10-12",
    verification="公证机构按约定于2026年11月3日向债务人、保证人发函核实，核实期限届满未收到异议。",
)


def _events() -> tuple[Event, ...]:
    start = 1_772_000_000_000
    rows: list[tuple[str, tuple[tuple[str, str | int], ...]]] = [
        (
            "record",
            (("issuer", "远航重工集团"), ("kind", "order"), ("number", "PO-2026-0457"), ("occurred", "2026-02-10")),
        ),
        ("application", (("enterprise", DEBTOR.name), ("lender", CREDITOR.name))),
        ("approved", (("lender", CREDITOR.name), ("amount", 300_000_000))),
        ("deed", (("by", CREDITOR.name),)),
        ("consent", (("by", DEBTOR.name),)),
        ("consent", (("by", "陈立恒"),)),
        ("countersign", (("by", DEED.notary),)),
        (
            "disbursement",
            (("lender", CREDITOR.name), ("number", "L-2026-031"), ("amount", 300_000_000), ("day", "2026-03-02")),
        ),
        ("overdue", (("due", "2026-06-02"),)),
        (
            "repayment",
            (("day", "2026-06-19"), ("amount", 105_213_334), ("interest", 5_213_334), ("principal", 100_000_000)),
        ),
        ("default", (("by", CREDITOR.name), ("as_of", "2026-10-12"))),
        ("verified", (("by", DEED.notary), ("outcome", "unpaid"))),
        ("certificate", (("by", DEED.notary), ("amount", 190_000_000))),
        ("case", (("by", CREDITOR.name),)),
    ]
    return tuple(
        Event(
            start + number * 1_555_200_000,
            code,
            values,
            "consortium",
            100 + 61 * number,
            identifier(f"tx{number:02d}"),
        )
        for number, (code, values) in enumerate(rows)
    )


def _evidence() -> tuple[Evidence, ...]:
    rows = [
        (
            "借款合同（JH-JK-2026-0310）",
            "@lender",
            "@contract",
            "借款金额、期限、利率、罚息、提前到期条款",
            "1-14",
            "originals/loan-contract.pdf",
        ),
        (
            "借款凭证 L-2026-031",
            "@lender",
            "@disbursement",
            "2026年3月2日发放300万元",
            "15",
            "records/loan-L-2026-031.json",
        ),
        (
            "还款凭证 R-2026-114",
            "@lender",
            "@repayment",
            "2026年6月19日还款",
            "16",
            "records/repayment-R-2026-114.json",
        ),
        ("公证债权文书", "@notary", "@deed", DEED.number, "17-31", "originals/deed.pdf"),
        ("执行证书", "@notary", "@certificate", DEED.certificate_number, "32-35", "states/certificate.json"),
        (
            "发票 AG-2026-0457",
            "@counterparty",
            "@trade",
            "基础交易的发票",
            "36",
            "originals/invoice-AG-2026-0457.xml",
        ),
    ]
    return tuple(
        Evidence(
            name=name,
            source=source,
            proves=proves,
            content=content,
            pages=pages,
            sha256=identifier(f"sha{number}"),
            chain="consortium",
            height=150 + number * 37,
            transaction=identifier(f"sealed{number}"),
            file=file,
        )
        for number, (name, source, proves, content, pages, file) in enumerate(rows)
    )


def facts(route: str = "A") -> CaseFacts:
    """The case on route A with deed and certificate, or on route B where the notary declined."""
    case = CaseFacts(
        route="A",
        case=identifier("case"),
        network=identifier("network"),
        application=identifier("application"),
        court="江苏省苏州市吴中区人民法院",
        creditor=CREDITOR,
        debtor=DEBTOR,
        loan=Loan(
            title="流动资金借款合同",
            number="JH-JK-2026-0310",
            signed_on="2026-02-26",
            amount=300_000_000,
            rate_bp=680,
            repayment_method="按季等额还本，按季结息",
            jurisdiction="合同第十八条：由贷款人住所地人民法院管辖",
        ),
        claim=claim(),
        agreed=TERMS,
        currency="CNY",
        scale=2,
        zone=ZONE,
        guarantors=(GUARANTOR,),
        collateral=(PLEDGE,),
        disbursements=(Disbursement(identifier("disbursed-1"), "2026-03-02", 300_000_000, "L-2026-031"),),
        deed=DEED,
        accelerated_on="2026-10-12",
        reasons=(("CERTIFICATE_STANDS", "the execution certificate stands"),),
        events=_events(),
        evidence=_evidence(),
        preservation="申请查封、冻结被申请人名下价值相当的银行存款或其他财产",
        electronic_service="yes",
        copies=2,
    )
    if route == "A":
        return case
    return replace(
        case,
        route="B",
        deed=replace(DEED, certificate_number="", certificate_id=b"", issued_on="", time_limit=""),
        reasons=(("CERTIFICATE_REFUSED", "the notary declined to issue an execution certificate"),),
        mediation="yes",
        court="上海市浦东新区人民法院",
    )
