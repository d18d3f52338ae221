//! Pages that need no other file: what reports of measuring and of training share.

pub mod plots;

use std::fmt::Write;

/// For light and dark schemes alike.
pub const STYLE: &str = include_str!("style.css");

/// A titled plot with its keys and what it shows.
pub fn figure(title: &str, plot: &str, keys: &str, caption: &str) -> String {
    format!(
        "<h3>{title}</h3>\n<figure>\n{keys}\n{plot}<figcaption>{caption}</figcaption>\n</figure>\n"
    )
}

/// Which colour is which.
pub fn keys(named: &[(usize, &str)]) -> String {
    let mut text = String::new();
    for (index, name) in named {
        let (colour, name) = (plots::colour(*index), escape(name));
        let _ = write!(
            text,
            "<span class=\"key\"><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    text
}

/// A table: its head, and lines made by [`cells`].
pub fn table(head: &[String], lines: Vec<String>) -> String {
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody>\n\
         </table></div>\n",
        lines.concat()
    )
}

/// A line of a table.
pub fn cells(cells: &[String]) -> String {
    let cells: String = cells
        .iter()
        .map(|cell| format!("<td>{cell}</td>"))
        .collect();
    format!("<tr>{cells}</tr>\n")
}

/// Text that stays text.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
