//! Somebody who works on cases at the console: what they fill in and send.

use super::bureau::Bureau;
use super::person::{Person, between};

/// A person at a desk, with a page of theirs whose token every form takes.
pub struct Worker {
    /// Who it is.
    pub person: Person,
    page: String,
}

impl Worker {
    /// A new account, signed in, that reads Chinese.
    pub async fn new(bureau: &Bureau, name: &str, roles: &[&str]) -> Self {
        Self::of(Person::new(bureau, name, roles).await.in_chinese()).await
    }

    /// Somebody who is signed in.
    pub async fn of(person: Person) -> Self {
        let page = person.page("/statistics").await;
        Self { person, page }
    }

    /// A path's status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.person.get(path).await
    }

    /// Sends a form; its status, and what is said.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let (status, _, said) = self.person.send_from(&self.page, path, fields).await;
        (status, said)
    }

    /// Sends a form that is taken; where it leads.
    pub async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let (status, to, said) = self.person.send_from(&self.page, path, fields).await;
        assert_eq!(status, 303, "{path}: {said}");
        to
    }

    /// Today, as a form proposes it.
    pub async fn today(&self) -> String {
        let page = self.person.page("/reports/new").await;
        between(&page, "type=\"date\" value=\"", "\"").to_owned()
    }

    /// A report that was taken up: its path.
    pub async fn report(&self) -> String {
        let today = self.today().await;
        let fields = [
            ("channel", "telephone"),
            ("on", today.as_str()),
            ("reporter", "张三"),
            ("contact", "000-0000"),
            ("text", "有人持他人医保凭证结算"),
        ];
        let report = self.done("/reports", &fields).await;
        self.done(&format!("{report}/answer"), &[("choice", "taken_up"), ("text", "已受理")]).await;
        report
    }

    /// A report and the case that it became: the case's path.
    pub async fn case(&self) -> String {
        let report = self.report().await;
        let number = report.rsplit('/').next().unwrap();
        let new = [("origin", "report"), ("id", number), ("facts", "经查，李四持王五的医保凭证结算。")];
        self.done("/cases", &new).await
    }

    /// An alert that they decide so: a step of its page, the last of which was `seen`.
    pub async fn decide(&self, alert: &str, seen: &str, decision: &str) {
        let fields = [("seen", seen), ("decision", decision), ("note", "录像显示持卡人未到场。")];
        self.done(&format!("{alert}/decision"), &fields).await;
    }

    /// A case of an alert that was confirmed: its path.
    pub async fn case_of(&self, alert: &str) -> String {
        let id = alert.rsplit('/').next().unwrap();
        let new = [("origin", "alert"), ("id", id), ("facts", "经查，李四持王五的医保凭证结算。")];
        self.done("/cases", &new).await
    }

    /// A transfer of a case that waits for its second person: its path.
    pub async fn propose(&self, case: &str) -> String {
        let fields = [
            ("receiver", "public_security"),
            ("to", "某市公安局"),
            ("to_contact", "经侦支队"),
            ("subject", "李四"),
            ("facts", "经查，李四持王五的医保凭证结算。\n当事人已作陈述。"),
            ("basis", "《医疗保障基金使用监督管理条例》"),
            ("attachments", "案件调查报告\n询问笔录"),
        ];
        self.done(&format!("{case}/transfers"), &fields).await
    }

    /// A transfer that came in and was answered: its path.
    pub async fn incoming(&self) -> String {
        let today = self.today().await;
        let lead = [
            ("sender", "health_commission"),
            ("on", today.as_str()),
            ("from", "某市卫生健康委员会"),
            ("their_number", "某卫移〔2026〕5号"),
            ("facts", "某医院存在冒名就诊"),
        ];
        let incoming = self.done("/transfers/in", &lead).await;
        self.done(&format!("{incoming}/answer"), &[("text", "材料齐全，予以接收。")]).await;
        incoming
    }
}
