"""Court: a claim's way into a court and back (MISSION row 5). What is stored: court_case.py; which way: court_route.py.

    open -> file -> acknowledge -> accept | reject
                 \\-> ask -> supplement -> acknowledge …      withdraw by the creditor until it is accepted

Methods of contract "court" on the consortium chain, with arguments and what they give:
    open                 {application, respondents: [ids] (optional)} by its lender -> {case, route, reasons}
    file                 {case, bundle: 32 B, size, delivery: "custody"|"hand_in", court: member id | court_name: text}
                         by the creditor -> {case, filing: 0}
    supplement           {case, bundle, size} by the creditor, after ask -> {case, filing: n}
    withdraw             {case, reason} by the creditor -> {case, state}
    acknowledge          {case, bundle, record: number of the "case" record on the court's own chain} by the court
    ask                  {case, text} by the court
    accept               {case, number: docket number, text (optional)} by the court
    reject               {case, code: court_case.REJECTIONS, text} by the court
    hand_in_acknowledged {case, answer: "received"|"asks"|"accepts"|"rejects", number, code, text, day, and either
                         key + signature or ca: {certificates, signature, algorithm}} by the creditor: the answer of a
                         court without a node, signed by it on paper (court_answer.py)
"""
