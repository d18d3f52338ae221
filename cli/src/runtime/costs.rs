//! What passes of a model cost on a device: measured when it first runs, kept beside
//! the models.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use eaglet_core::engine::{CostTable, Session};
use eaglet_core::model::Transformer;
use eaglet_core::weights::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::store::Store;

/// What is known of the costs of one model on one device.
pub struct Known {
    folder: PathBuf,
    /// What its files are called, but for the widest pass.
    name: String,
    /// By the widest pass: what this process has measured or read.
    tables: RefCell<BTreeMap<usize, CostTable>>,
}

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
        Self {
            folder: store.costs(),
            name: name.chars().map(plain).collect(),
            tables: RefCell::default(),
        }
    }

    /// Tells a session that is about to begin, whose rounds draft for `sequences` sequences
    /// with `nodes` nodes each; measures first as long as too little is known.
    pub fn tell(
        &self,
        session: &mut Session,
        sequences: usize,
        nodes: usize,
    ) -> Result<(), Failure> {
        let widest = Session::widest(sequences, nodes);
        let known = self.tables.borrow().get(&widest).cloned();
        let table = match known {
            Some(table) => table,
            None => self.find(session, sequences, nodes)?,
        };
        self.tables.borrow_mut().insert(widest, table.clone());
        session.assume(table);
        Ok(())
    }

    /// From the file, or measured.
    fn find(
        &self,
        session: &mut Session,
        sequences: usize,
        nodes: usize,
    ) -> Result<CostTable, Failure> {
        let widest = Session::widest(sequences, nodes);
        let file = self.folder.join(format!("{}-{widest}.json", self.name));
        // A file that makes no sense is as good as none.
        let text = fs::read(&file).ok();
        let record = text.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        let mut record = record.unwrap_or_default();
        if record.starts < STARTS {
            let widths = Session::widths(sequences, nodes);
            let measured = pollster::block_on(session.measure(&widths, 0))?;
            record.starts += 1;
            record.seconds = record.seconds.best(&measured);
            // Where nothing can be kept it is measured anew the next time.
            if let (Ok(()), Ok(text)) = (
                fs::create_dir_all(&self.folder),
                serde_json::to_vec(&record),
            ) {
                let _ = write_atomically(&file, &text);
            }
        }
        Ok(record.seconds)
    }
}

/// Starts of the program that measure: the machine may have been busy at the first.
const STARTS: usize = 4;

/// What is kept of the costs of one model on one device, up to some widest pass.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// Starts that have measured.
    starts: usize,
    /// The lowest times, as (rows, seconds).
    seconds: CostTable,
}
