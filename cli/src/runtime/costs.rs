//! What passes of a model cost on a device: measured when it first runs, kept beside
//! the models.

use std::fs;
use std::path::PathBuf;

use eaglet_core::engine::{CostTable, Session};
use eaglet_core::model::Transformer;
use eaglet_core::weights::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::store::Store;

/// Where the costs of one model on one device are known.
pub struct Known(PathBuf);

impl Known {
    /// Costs depend on the model's shape and on the device, not on what was learnt.
    pub fn new(store: &Store, target: &Transformer, device: &str) -> Self {
        let (config, dtype) = (target.config(), target.dtype());
        let name = format!(
            "{} {}x{} {dtype} {} {device} {}",
            config.architecture,
            config.layers,
            config.hidden,
            target.bytes_per_pass(),
            env!("CARGO_PKG_VERSION"),
        );
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().map(plain).collect();
        Self(store.costs().join(format!("{name}.json")))
    }

    /// Tells a session that is about to begin, whose rounds draft for `sequences` sequences
    /// with `nodes` nodes each; measures first as long as too little is known.
    pub fn tell(
        &self,
        session: &mut Session,
        sequences: usize,
        nodes: usize,
    ) -> Result<(), Failure> {
        let mut record = self.read();
        if record.starts < STARTS || !record.reaches(sequences * (nodes + 1)) {
            let measured = pollster::block_on(session.measure(sequences, nodes))?;
            record.starts += 1;
            record.seconds = record.seconds.best(&measured);
            self.keep(&record);
        }
        session.assume(record.seconds);
        Ok(())
    }

    /// What is known; nothing if the file is not there or makes no sense.
    fn read(&self) -> Record {
        let text = fs::read(&self.0).ok();
        let record = text.and_then(|text| serde_json::from_slice(&text).ok());
        record.unwrap_or_default()
    }

    /// Keeps a record for the next time. Where nothing can be written it is made anew.
    fn keep(&self, record: &Record) {
        let folder = self.0.parent().map(fs::create_dir_all);
        if let (Some(Ok(())), Ok(text)) = (folder, serde_json::to_vec(record)) {
            let _ = write_atomically(&self.0, &text);
        }
    }
}

/// Starts of the program that measure: the machine may have been busy at the first.
const STARTS: usize = 4;

/// What is kept of the costs of one model on one device.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// Starts that have measured.
    starts: usize,
    /// The lowest times, as (rows, seconds).
    seconds: CostTable,
}

impl Record {
    /// Whether it can tell of so many rows. Beyond its widest pass a table can be continued,
    /// but not for long.
    fn reaches(&self, rows: usize) -> bool {
        let widest = self.seconds.widths().last();
        widest.is_some_and(|&(widest, _)| 2 * widest >= rows)
    }
}
