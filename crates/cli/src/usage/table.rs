//! The usage of a database as tables for an operator.

use ferroflow_jobs::ArtifactBytes;
use ferroflow_store::upkeep::usage::{Rows, Usage};

use super::UsageArgs;
use crate::report::out;

/// Number of tables of the database that are shown.
const TABLES: usize = 12;

/// Prints the tables.
pub(super) fn print(uri: &str, usage: &Usage, args: &UsageArgs, artifacts: Option<&(String, ArtifactBytes)>) {
    out!("database {uri}: {}", bytes(usage.bytes));
    let mut tables = Table::new(&["table", "rows", "bytes", "indexes"]);
    for table in usage.tables.iter().filter(|table| table.rows != Some(0)).take(TABLES) {
        let rows = table.rows.map_or_else(String::new, number);
        tables.row([table.name.clone(), rows, bytes(table.bytes), bytes(table.index_bytes)]);
    }
    tables.print();

    let mut table = Table::new(&["workspace", "runs", "points", "params", "tags", "traces", "spans", "about"]);
    for (name, rows) in &usage.workspaces {
        table.row([vec![name.clone()], of_rows(rows)].concat());
    }
    table.row([vec!["all".to_owned()], of_rows(&usage.total)].concat());
    table.print();

    let columns = ["experiment", "name", "runs", "points", "params", "tags", "traces", "spans", "about"];
    let mut table = Table::new(&columns);
    for experiment in &usage.experiments {
        let deleted = if experiment.is_deleted { " (deleted)" } else { "" };
        let name = format!("{}{deleted}", short(&experiment.name));
        table.row([vec![experiment.id.to_string(), name], of_rows(&experiment.rows)].concat());
    }
    table.print();

    if args.quick {
        out!("\npoints, params and tags are not counted with --quick");
    } else {
        let mut table = Table::new(&["run", "name", "experiment", "points", "metrics", "params", "tags", "about"]);
        for run in &usage.runs {
            let Rows { points, metrics, params, tags, bytes: size, .. } = run.rows;
            let name = run.name.as_deref().map_or_else(String::new, short);
            let counts = [points, metrics, params, tags].map(number);
            table.row(
                [vec![run.id.clone(), name, run.experiment.to_string()], counts.to_vec(), vec![bytes(size)]].concat(),
            );
        }
        table.print();
    }

    let (models, versions) = usage.registered;
    if models > 0 {
        let mut table = Table::new(&["registered model", "workspace", "versions"]);
        for model in &usage.models {
            table.row([short(&model.name), model.workspace.clone(), number(model.versions)]);
        }
        table.row(["all".to_owned(), number(models), number(versions)]);
        table.print();
    }

    let age = &args.older_than.text;
    let mut table = Table::new(&["would be freed", "runs", "points", "params", "tags", "traces", "spans", "about"]);
    let mut freed = |by: String, rows: &Rows| table.row([vec![by], of_rows(rows)].concat());
    freed("ferroflow gc".into(), &usage.freed.deleted);
    freed(format!("ferroflow gc --older-than {age}"), &usage.freed.deleted_long_ago);
    freed(format!("trace archival, retention {age}"), &usage.freed.old_traces);
    table.print();

    if let Some((name, artifacts)) = artifacts {
        let mut table = Table::new(&["artifacts of experiment", "files", "bytes"]);
        for (folder, files, size) in artifacts.experiments.iter().take(args.top.into()) {
            table.row([folder.clone(), number(*files), bytes(*size)]);
        }
        table.row([format!("all in {name}"), number(artifacts.files), bytes(artifacts.bytes)]);
        table.print();
    }
}

fn of_rows(rows: &Rows) -> Vec<String> {
    let Rows { runs, points, params, tags, traces, spans, bytes: size, .. } = *rows;
    let mut cells: Vec<_> = [runs, points, params, tags, traces, spans].map(number).into();
    cells.push(bytes(size));
    cells
}

/// The beginning of a name, without control characters.
fn short(name: &str) -> String {
    const LENGTH: usize = 40;
    let mut shown: String = name.chars().filter(|char| !char.is_control()).take(LENGTH).collect();
    if name.chars().nth(LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

/// `1,234,567`.
fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `12.3 GiB`.
fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let bytes = u128::from(bytes.unsigned_abs());
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Rows of text in columns: the first column to the left, as are names, numbers to the right.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(columns: &[&str]) -> Self {
        Self(vec![columns.iter().map(|column| (*column).to_owned()).collect()])
    }

    fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.0.push(cells.into());
    }

    /// Prints it, unless it has no rows.
    fn print(&self) {
        if self.0.len() < 2 {
            return;
        }
        out!("");
        for line in self.lines() {
            out!("{line}");
        }
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let widths = self.0.iter().filter_map(|row| row.get(column));
            widths.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let is_text = |column: usize| {
            let starts_as_number =
                |cell: &String| cell.is_empty() || cell.starts_with(|char: char| char.is_ascii_digit());
            column == 0 || !self.0.iter().skip(1).filter_map(|row| row.get(column)).all(starts_as_number)
        };
        let is_text: Vec<bool> = (0..columns).map(is_text).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&is_text);
            let cells = cells.map(
                |((cell, width), text)| {
                    if *text { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            );
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1536, 10 << 30, i64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 GiB", "8191.9 PiB"]
        );
    }

    #[test]
    fn names_are_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(&["id", "name", "rows"]);
        table.row(["7".to_owned(), "a".to_owned(), "1,000".to_owned()]);
        table.row(["10".to_owned(), "bcdef".to_owned(), "5".to_owned()]);
        assert_eq!(table.lines(), ["id  name    rows", "7   a      1,000", "10  bcdef      5"]);
    }

    #[test]
    fn a_name_is_cut_and_cannot_control_the_terminal() {
        assert_eq!(short("a\u{1b}[31m\nb"), "a[31mb");
        assert_eq!(short(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}
