//! What a page downloads before it fetches a model.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes at most of modules and scripts, as servers send them: compressed by gzip.
const MOST: usize = 2 << 20;

/// Tells the sizes, and refuses more than [`MOST`].
pub fn gate(dist: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(dist, &mut files).map_err(|e| format!("{}: {e}", dist.display()))?;
    let mut sums = [(0, 0); 2];
    for file in files {
        let which = match file.extension().and_then(|end| end.to_str()) {
            Some("wasm") => 0,
            Some("js") => 1,
            _ => continue,
        };
        let raw = std::fs::metadata(&file).map_err(|e| e.to_string())?.len();
        sums[which].0 += raw as usize;
        sums[which].1 += gzipped(&file)?;
    }
    println!("\n            bytes       gzip");
    for (name, (raw, gzip)) in ["wasm", "scripts"].iter().zip(sums) {
        println!("{name:8} {raw:8} {gzip:10}");
    }
    let all = sums[0].1 + sums[1].1;
    println!("together          {all:10}, {MOST} at most");
    match all <= MOST {
        true => Ok(()),
        false => Err(format!("the package has {all} bytes, {MOST} are allowed")),
    }
}

/// All files of the package; the demo is none of it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true if path.ends_with("demo") => {}
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

fn gzipped(file: &Path) -> Result<usize, String> {
    let output = Command::new("gzip").args(["-9", "-c"]).arg(file).output();
    let output = output.map_err(|e| format!("gzip: {e}"))?;
    match output.status.success() {
        true => Ok(output.stdout.len()),
        false => Err(format!("gzip cannot read {}", file.display())),
    }
}
