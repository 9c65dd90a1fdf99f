//! What we promise that VintageNet does otherwise: replies, and which table an interface has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::oracle::{Op, Step};

/// Follows a vector with the contract's own rules.
pub struct Model {
    max_interfaces: u64,
    foreign_tables: BTreeSet<u64>,
    /// Ours: the lowest free number from 100 up, freed by `clear_route`.
    tables: BTreeMap<String, u64>,
    /// VintageNet's: never freed.
    recorded: BTreeMap<String, String>,
    recording_counts: bool,
}

impl Model {
    pub fn new(max_interfaces: u64, foreign_tables: BTreeSet<u64>) -> Self {
        let (tables, recorded) = (BTreeMap::new(), BTreeMap::new());
        Self { max_interfaces, foreign_tables, tables, recorded, recording_counts: true }
    }

    /// Takes a call in; gives its reply, errors without their details.
    pub fn reply(&mut self, step: &Step) -> Value {
        // VintageNet starts over after a crash, with an empty memory: what it recorded from here on only informs.
        self.recording_counts &= !step.has_crashed;
        for entry in step.entries.as_array().into_iter().flatten() {
            if entry[0] == "local" && entry[5].is_u64() {
                self.recorded.insert(entry[5].to_string(), entry[1].as_str().unwrap().to_owned());
            }
        }
        let refused = match &step.op {
            Op::SetRoute { name, subnets, .. } => !is_name(name) || subnets.iter().any(|(_, bits)| *bits == 0),
            Op::SetStatus { name, status } => {
                !is_name(name) || !["disconnected", "lan", "internet"].contains(&status.as_str())
            }
            Op::Clear { name } => !is_name(name),
            _ => false,
        };
        if refused {
            self.recording_counts = false;
            return json!(["error", "badarg"]);
        }
        match &step.op {
            Op::SetRoute { name, .. } | Op::SetStatus { name, .. } if !self.tables.contains_key(name) => {
                if self.tables.len() as u64 >= self.max_interfaces {
                    self.recording_counts = false;
                    return json!(["error", "too_many_interfaces"]);
                }
                let used: BTreeSet<u64> = self.tables.values().copied().chain([253, 254, 255]).collect();
                let free = (100..).find(|t| !used.contains(t) && !self.foreign_tables.contains(t)).unwrap();
                self.tables.insert(name.clone(), free);
            }
            Op::Clear { name } => {
                self.tables.remove(name);
            }
            _ => {}
        }
        json!("ok")
    }

    /// VintageNet starts over, with an empty memory; we do not.
    pub const fn restart(&mut self) {
        self.recording_counts = false;
    }

    /// Whether VintageNet's recording says what we must say too.
    pub const fn recording_counts(&self) -> bool {
        self.recording_counts
    }

    /// The interfaces known now, and their tables.
    pub const fn tables(&self) -> &BTreeMap<String, u64> {
        &self.tables
    }

    /// Our number for a table that VintageNet numbered; other tables are as they are.
    pub fn translate(&self, table: &str) -> String {
        let ours = self.recorded.get(table).and_then(|name| self.tables.get(name));
        ours.map_or_else(|| table.to_owned(), u64::to_string)
    }
}

/// Whether Linux has such names (`dev_valid_name` in `net/core/dev.c`).
fn is_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_ascii_whitespace())
}
