//! What a run found, as a table for people and a line for machines.

use serde_json::{Value, json};

use super::needles::Class;
use super::run::Found;

impl Found {
    /// How often something of a class was found in what is written and sent.
    pub fn hits(&self, class: Class) -> usize {
        self.sinks.iter().map(|s| s.hits.of(class)).sum()
    }

    /// How often anything was found in memory after the last verdict.
    pub fn memory_hits(&self) -> usize {
        [Class::Pixel, Class::Probe, Class::Reference].map(|c| self.after.hits.of(c)).iter().sum()
    }

    /// What is wrong with the run itself, so that finding nothing says nothing.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.unseen.iter().map(|u| format!("cannot be searched: {u}")).collect();
        faults.extend(self.elsewhere.iter().cloned());
        for sink in self.sinks.iter().filter(|s| s.bytes == 0) {
            faults.push(format!("the sink `{}` is empty: there was nothing to search", sink.name));
        }
        for form in ["jpeg", "pixels", "crop", "crop-f32", "probe-f32", "reference-f32"] {
            if !self.looking.hits.has(form) {
                faults.push(format!(
                    "no {form} was found in memory during a verification: the search is blind"
                ));
            }
        }
        if self.after.bytes == 0 {
            faults.push("no memory could be read: this needs root".into());
        }
        faults
    }

    /// Nothing found, and everything searched.
    pub fn clean(&self) -> bool {
        self.sinks.iter().all(|s| s.hits.is_empty()) && self.memory_hits() == 0 && self.faults().is_empty()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = format!("{} needles; {}\n\n", self.needles, self.settlements.join(", "));
        out += &format!("{:<22} {:>12}  found\n", "sink", "bytes");
        for sink in &self.sinks {
            let found = if sink.hits.is_empty() { "-".into() } else { sink.hits.to_string() };
            out += &format!("{:<22} {:>12}  {found}\n", sink.name, sink.bytes);
        }
        let after = if self.after.hits.is_empty() { "-".into() } else { self.after.hits.to_string() };
        out += &format!("{:<22} {:>12}  {after}\n", "memory, afterwards", self.after.bytes);
        out += &format!(
            "{:<22} {:>12}  (must be found) {}\n",
            "memory, looking", self.looking.bytes, self.looking.hits
        );
        self.after.places.iter().for_each(|p| out += &format!("  {p}\n"));
        out += &format!("\nfiles written: {}\n", self.files.join(", "));
        if !self.metrics {
            out += "metrics: GET /metrics is not served; its answer was searched all the same\n";
        }
        self.faults().iter().for_each(|f| out += &format!("FAULT: {f}\n"));
        out
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "bytes_written": self.written,
            "bytes_sent": self.sent,
            "pixel_hits": self.hits(Class::Pixel),
            "probe_hits": self.hits(Class::Probe),
            "reference_hits": self.hits(Class::Reference),
            "memory_bytes_scanned": self.after.bytes,
            "memory_hits": self.memory_hits(),
            "needles": self.needles,
            "settlements": self.settlements.len(),
            "sinks": self.sinks.len(),
            "faults": self.faults().len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Scan;
    use super::super::needles::Hits;
    use super::super::run::Sink;
    use super::*;

    fn scan(forms: &[&'static str]) -> Scan {
        let mut scan = Scan { bytes: 1, ..Scan::default() };
        for form in forms {
            scan.hits.add(Class::Pixel, form, String::new);
        }
        scan
    }

    fn clean() -> Found {
        let looking = ["jpeg", "pixels", "crop", "crop-f32", "probe-f32", "reference-f32"];
        Found {
            settlements: Vec::new(),
            sinks: vec![Sink { name: "log", bytes: 10, hits: Hits::default() }],
            needles: 1,
            looking: scan(&looking),
            after: scan(&[]),
            written: 1,
            sent: 1,
            files: Vec::new(),
            unseen: Vec::new(),
            elsewhere: Vec::new(),
            metrics: false,
        }
    }

    #[test]
    fn a_run_that_saw_nothing_is_not_clean() {
        assert!(clean().clean());
        let spoilt: [fn(&mut Found); 6] = [
            |f| f.sinks[0].bytes = 0,
            |f| f.looking = scan(&["jpeg"]),
            |f| f.after.bytes = 0,
            |f| f.after = scan(&["probe-f32"]),
            |f| f.unseen.push("a shared map".into()),
            |f| f.elsewhere.push("the agent called 9.9.9.9".into()),
        ];
        for (n, spoil) in spoilt.iter().enumerate() {
            let mut found = clean();
            spoil(&mut found);
            assert!(!found.clean(), "{n}");
        }
    }
}
