//! The states and kinds of cases, transfers and reports: one word each in the store,
//! in forms, in CSV and as the end of a message's id.

use crate::bureau::review::words::words;

words! {
    /// A decision that makes an alert a confirmed one.
    Finding {
        /// Somebody else paid who had not been declared.
        UndeclaredProxy = "undeclared_proxy",
        /// Somebody else used the card as if they were the cardholder.
        Impersonation = "impersonation",
        /// A session was billed that did not take place.
        NotRendered = "not_rendered",
    }
}

words! {
    /// How far a case is.
    CaseState {
        /// Being worked on.
        Open = "open",
        /// Handed to another authority.
        Transferred = "transferred",
        /// Ended with what came of it.
        Concluded = "concluded",
        /// Ended without a transfer.
        Closed = "closed",
    }
}

impl CaseState {
    /// Whether it has not ended.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Open | Self::Transferred)
    }
}

words! {
    /// An authority to which a case is handed, or which hands one to the bureau.
    Authority {
        /// 公安机关
        PublicSecurity = "public_security",
        /// 卫生健康委员会
        HealthCommission = "health_commission",
        /// 市场监督管理部门
        MarketRegulation = "market_regulation",
        /// 纪检监察机关
        DisciplineInspection = "discipline_inspection",
        /// 另一医疗保障局
        MedicalInsurance = "medical_insurance",
    }
}

words! {
    /// How far a transfer to another authority is.
    TransferState {
        /// Waits for a second person.
        Proposed = "proposed",
        /// The second person sent it back, with a reason.
        Refused = "refused",
        /// Approved and numbered; its receipt has not come.
        Sent = "sent",
        /// Its receipt has come; its result has not.
        Received = "received",
        /// Its result has come.
        Concluded = "concluded",
    }
}

words! {
    /// What became of a transfer.
    Outcome {
        /// The receiver opened proceedings.
        TakenUp = "taken_up",
        /// The receiver opened none.
        NotTakenUp = "not_taken_up",
        /// A penalty or another measure.
        Sanctioned = "sanctioned",
        /// Nothing unlawful was found.
        NoViolation = "no_violation",
        /// Sent back: another authority's business.
        Returned = "returned",
    }
}

words! {
    /// How far a transfer from another authority is.
    IncomingState {
        /// Registered; no receipt was sent.
        Registered = "registered",
        /// The receipt was sent.
        Answered = "answered",
        /// The sender knows what came of it.
        Concluded = "concluded",
    }
}

words! {
    /// How a report of the public came.
    Channel {
        /// By telephone.
        Telephone = "telephone",
        /// Over the Internet.
        Internet = "internet",
        /// By post.
        Letter = "letter",
        /// In person.
        Visit = "visit",
        /// From another office.
        Office = "office",
    }
}

words! {
    /// How far a report of the public is.
    ReportState {
        /// Registered; not answered.
        Registered = "registered",
        /// Answered: it is taken up.
        TakenUp = "taken_up",
        /// Answered: it is not taken up. The end.
        NotTakenUp = "not_taken_up",
        /// Ended with what came of it.
        Concluded = "concluded",
    }
}

words! {
    /// How complex a report is: how long it may take.
    Complexity {
        /// As a rule.
        Ordinary = "ordinary",
        /// Complex: the first extension.
        Complex = "complex",
        /// Particularly complex: the second.
        MostComplex = "most_complex",
    }
}

words! {
    /// What became of a report.
    ReportOutcome {
        /// It was so.
        Confirmed = "confirmed",
        /// Part of it was so.
        PartlyConfirmed = "partly_confirmed",
        /// It was not so, or could not be established.
        NotConfirmed = "not_confirmed",
        /// Another authority has it now.
        HandedOn = "handed_on",
    }
}

words! {
    /// What must be done by a day.
    Duty {
        /// A case: hand it over, or end it.
        Transfer = "transfer",
        /// A proposed transfer: approve it, or send it back.
        Approve = "approve",
        /// A transfer: hand in the material that its receiver asked for.
        Supply = "supply",
        /// A transfer: its receiver owes the receipt.
        Receipt = "receipt",
        /// A transfer: its receiver owes the result.
        Result = "result",
        /// A transfer that came in: its sender owes material.
        AwaitMaterial = "await_material",
        /// A transfer that came in: send the receipt.
        SendReceipt = "send_receipt",
        /// A transfer that came in: tell its sender what came of it.
        SendResult = "send_result",
        /// A report: answer whether it is taken up.
        AnswerReport = "answer_report",
        /// A report: conclude it.
        ConcludeReport = "conclude_report",
    }
}

words! {
    /// What the ledger lists.
    Matter {
        /// A case.
        Case = "case",
        /// A transfer to another authority.
        Transfer = "transfer",
        /// A transfer that came in.
        Incoming = "incoming",
        /// A report of the public.
        Report = "report",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_back_and_another_is_refused_with_the_allowed_ones() {
        for state in CaseState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for authority in Authority::ALL {
            assert_eq!(authority.to_string().parse(), Ok(*authority));
        }
        let e = "court\n".parse::<Authority>().unwrap_err();
        assert!(e.starts_with("found `court\\n`; allowed: public_security, health_commission"), "{e}");
    }
}
