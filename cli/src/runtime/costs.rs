//! What passes of a model cost on a device: measured once, kept beside the models.

use std::fs;
use std::path::PathBuf;

use eaglet_core::engine::{CostTable, Session};
use eaglet_core::model::Transformer;
use eaglet_core::weights::write_atomically;

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
    /// with `nodes` nodes each; measures first where that is not known.
    pub fn tell(
        &self,
        session: &mut Session,
        sequences: usize,
        nodes: usize,
    ) -> Result<(), Failure> {
        let known = fs::read(&self.0).ok();
        let known = known.and_then(|text| serde_json::from_slice::<CostTable>(&text).ok());
        // Beyond the widest a table can be continued, but not for long.
        let wide = |table: &CostTable| {
            let widest = table.widths().last().map_or(0, |&(rows, _)| rows);
            2 * widest >= sequences * (nodes + 1)
        };
        let table = match known.filter(wide) {
            Some(table) => table,
            None => {
                let table = pollster::block_on(session.measure(sequences, nodes))?;
                self.keep(&table);
                table
            }
        };
        session.assume(table);
        Ok(())
    }

    /// Keeps a table for the next time. Where nothing can be written it is measured anew.
    fn keep(&self, table: &CostTable) {
        if table.widths().is_empty() {
            return;
        }
        let folder = self.0.parent().map(fs::create_dir_all);
        if let (Some(Ok(())), Ok(text)) = (folder, serde_json::to_vec(table)) {
            let _ = write_atomically(&self.0, &text);
        }
    }
}
