//! The definition of a SQLite table: parses the stored `CREATE TABLE` into clauses, changes them, and writes it again.
//!
//! SQLite's `ALTER TABLE` supports few changes. Others are made by editing the existing definition instead of replacing
//! it, so that columns and indexes added by users are kept.

use super::revision::Change;

/// A `CREATE TABLE` statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    columns: Vec<Column>,
    constraints: Vec<String>,
    /// What follows the closing parenthesis, such as `STRICT`.
    options: String,
}

/// A column: its name, and its definition with the name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    clause: String,
}

/// How a table is brought from one definition to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlterMethod {
    /// Nothing changes.
    None,
    /// Only the text of the definition changes; rows and indexes stay valid.
    Text,
    /// The rows are copied into a new table.
    Copy,
}

/// Keywords that start a table constraint, and keywords that follow the type of a column.
const CONSTRAINTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
const AFTER_TYPE: [&str; 10] =
    ["NOT", "NULL", "DEFAULT", "CHECK", "REFERENCES", "GENERATED", "CONSTRAINT", "PRIMARY", "UNIQUE", "COLLATE"];

impl Definition {
    /// Parses a statement. `None` for unsupported ones, such as `CREATE TABLE … AS SELECT`.
    pub(super) fn parse(sql: &str) -> Option<Self> {
        let open = sql.find('(')?;
        let (clauses, rest) = clauses(&sql[open + 1..])?;
        let mut definition = Self {
            columns: Vec::new(),
            constraints: Vec::new(),
            options: rest.trim().trim_end_matches(';').to_owned(),
        };
        for clause in clauses {
            let (first, _) = word(&clause);
            if CONSTRAINTS.iter().any(|name| first.eq_ignore_ascii_case(name)) && !first.starts_with('"') {
                definition.constraints.push(clause);
            } else {
                definition.columns.push(Column { name: unquote(first), clause });
            }
        }
        (!definition.columns.is_empty()).then_some(definition)
    }

    /// The statement that creates a table with this definition.
    pub(super) fn create(&self, table: &str) -> String {
        let columns = self.columns.iter().map(|column| column.clause.as_str());
        // A constraint stays on one line: the reference finds its name by parsing the stored text line by line.
        let clauses: Vec<&str> = columns.chain(self.constraints.iter().map(String::as_str)).collect();
        let options = if self.options.is_empty() { String::new() } else { format!(" {}", self.options) };
        format!("CREATE TABLE \"{table}\" (\n    {}\n){options}", clauses.join(",\n    "))
    }

    /// The columns and constraints, in order.
    #[cfg(test)]
    pub(super) fn clauses(&self) -> impl Iterator<Item = String> {
        let columns = self.columns.iter().map(|column| normal(&column.clause));
        columns.chain(self.constraints.iter().map(|clause| normal(clause)))
    }

    /// The constraints, normalised.
    pub(super) fn constraints(&self) -> impl Iterator<Item = String> {
        self.constraints.iter().map(|clause| normal(clause))
    }

    /// Applies the changes. Idempotent.
    pub(super) fn change(&mut self, changes: &[Change]) -> AlterMethod {
        let before = self.clone();
        let mut copy = false;
        for change in changes {
            match *change {
                Change::Add(clause) => {
                    let name = unquote(word(clause).0);
                    if !self.has_column(&name) {
                        self.columns.push(Column { name, clause: clause.to_owned() });
                    }
                }
                Change::Widen(name, to) | Change::Narrow(name, to) => self.edit(name, |clause| retyped(clause, to)),
                Change::Nullable(name) => self.edit(name, |clause| clause.replace(" NOT NULL", "")),
                Change::NotNull(name) => self.edit(name, |clause| {
                    if clause.contains(" NOT NULL") { clause.to_owned() } else { format!("{clause} NOT NULL") }
                }),
                Change::DropColumn(name) => {
                    copy |= self.has_column(name);
                    self.columns.retain(|column| column.name != name);
                }
                Change::Drop(name) => {
                    copy |= self.drop_constraints(|clause| constraint_name(clause).is_some_and(|found| found == name));
                }
                Change::DropUnnamed(_, start) => {
                    copy |= self.drop_constraints(|clause| normal(clause).starts_with(&normal(start)));
                }
                Change::Constrain(clause) => {
                    if !self.constraints().any(|found| found == normal(clause)) {
                        copy |= has_index(clause);
                        self.constraints.push(clause.to_owned());
                    }
                }
            }
        }
        if *self == before {
            return AlterMethod::None;
        }
        // The reference cannot distinguish an unnamed CHECK constraint from that of a type, and drops it when it alters
        // the table.
        let added: Vec<String> = changes
            .iter()
            .filter_map(|change| if let Change::Constrain(clause) = change { Some(normal(clause)) } else { None })
            .collect();
        self.constraints.retain(|clause| {
            let clause = normal(clause);
            !clause.to_ascii_uppercase().starts_with("CHECK") || added.contains(&clause)
        });
        for clause in &mut self.constraints {
            *clause = spelled(clause);
        }
        if copy { AlterMethod::Copy } else { AlterMethod::Text }
    }

    fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    fn edit(&mut self, name: &str, edit: impl Fn(&str) -> String) {
        for column in self.columns.iter_mut().filter(|column| column.name == name) {
            column.clause = edit(&column.clause);
        }
    }

    /// Removes constraints; returns whether one of them had an index.
    fn drop_constraints(&mut self, gone: impl Fn(&str) -> bool) -> bool {
        let index = self.constraints.iter().any(|clause| gone(clause) && has_index(clause));
        self.constraints.retain(|clause| !gone(clause));
        index
    }
}

/// Whether SQLite has an index for the constraint, so that adding or removing it requires a copy.
fn has_index(clause: &str) -> bool {
    let clause = clause.to_ascii_uppercase();
    clause.contains("PRIMARY KEY") || clause.contains("UNIQUE")
}

fn constraint_name(clause: &str) -> Option<String> {
    let (first, rest) = word(clause);
    first.eq_ignore_ascii_case("CONSTRAINT").then(|| unquote(word(rest).0))
}

/// The column clause with another type.
fn retyped(clause: &str, to: &str) -> String {
    let (name, mut rest) = word(clause);
    loop {
        // The length, as in VARCHAR(32).
        if rest.trim_start().starts_with('(') {
            rest = rest.find(')').map_or("", |close| &rest[close + 1..]);
        }
        let (next, after) = word(rest);
        if next.is_empty() || AFTER_TYPE.iter().any(|end| next.eq_ignore_ascii_case(end)) {
            return format!("{name} {to} {}", rest.trim()).trim_end().to_owned();
        }
        rest = after;
    }
}

/// The normalised clause: no quotes, single spaces between words, none beside parentheses and commas.
pub(super) fn normal(clause: &str) -> String {
    let mut out = String::with_capacity(clause.len());
    for word in clause.replace('"', "").split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    for bracket in ["(", ")", ","] {
        out = out.replace(&format!(" {bracket}"), bracket).replace(&format!("{bracket} "), bracket);
    }
    spelled(&out)
}

/// The reference writes `cascade` in new tables and `CASCADE` in those that it changes.
fn spelled(clause: &str) -> String {
    clause.replace("ON DELETE cascade", "ON DELETE CASCADE").replace("ON UPDATE cascade", "ON UPDATE CASCADE")
}

/// The first word and the rest. A quoted name is one word.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let quote = match text.chars().next() {
        Some(quote @ ('"' | '`')) => Some(quote),
        Some('[') => Some(']'),
        _ => None,
    };
    let end = match quote {
        Some(quote) => text[1..].find(quote).map(|end| end + 2),
        None => text.find(|c: char| c.is_whitespace() || c == '('),
    };
    text.split_at(end.unwrap_or(text.len()))
}

fn unquote(name: &str) -> String {
    name.trim_matches(|c| matches!(c, '"' | '`' | '[' | ']')).to_owned()
}

/// Splits at commas outside of parentheses and quotes, up to the closing parenthesis, and returns what follows it.
fn clauses(body: &str) -> Option<(Vec<String>, &str)> {
    let mut found = Vec::new();
    let (mut depth, mut start, mut quote) = (0_u32, 0, None);
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '[') => quote = Some(']'),
            (None, '-') if chars.peek().is_some_and(|(_, next)| *next == '-') => return None,
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => {
                found.push(body[start..at].trim().to_owned());
                return Some((found, &body[at + 1..]));
            }
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                found.push(body[start..at].trim().to_owned());
                start = at + 1;
            }
            (Some(_) | None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: &str = r#"CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL,
	"key" VARCHAR (250) DEFAULT 'a, (b' NOT NULL,
	status VARCHAR(20), deleted_time BIGINT,
	CONSTRAINT run_pk PRIMARY KEY (run_uuid),
	CONSTRAINT status CHECK (status IN ('SCHEDULED', 'FAILED')),
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id),
	CHECK (deleted_time > 0)
)"#;

    fn changed(changes: &[Change]) -> (AlterMethod, Vec<String>) {
        let mut definition = Definition::parse(RUNS).unwrap();
        let method = definition.change(changes);
        (method, definition.clauses().collect())
    }

    #[test]
    fn a_definition_is_taken_apart_and_put_together_again() {
        let definition = Definition::parse(RUNS).unwrap();
        let again = Definition::parse(&definition.create("runs")).unwrap();
        assert_eq!(definition, again);
        assert_eq!(
            definition.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["run_uuid", "key", "status", "deleted_time"]
        );
        assert_eq!(definition.constraints.len(), 4);
    }

    #[test]
    fn a_type_and_a_null_change_in_place_and_without_a_copy() {
        let (method, clauses) = changed(&[
            Change::Widen("key", "VARCHAR(500)"),
            Change::NotNull("status"),
            Change::Nullable("run_uuid"),
            Change::Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
        ]);
        assert_eq!(method, AlterMethod::Text);
        assert_eq!(
            clauses[..5],
            [
                "run_uuid VARCHAR(32)",
                "key VARCHAR(500)DEFAULT 'a,(b' NOT NULL",
                "status VARCHAR(20)NOT NULL",
                "deleted_time BIGINT",
                "workspace VARCHAR(63)DEFAULT 'default' NOT NULL",
            ]
        );
    }

    #[test]
    fn a_key_changes_with_a_copy() {
        let key = "CONSTRAINT run_pk PRIMARY KEY (run_uuid, status)";
        let (method, clauses) = changed(&[Change::Drop("run_pk"), Change::Constrain(key)]);
        assert_eq!(method, AlterMethod::Copy);
        assert!(
            clauses.contains(&normal(key)) && !clauses.contains(&"CONSTRAINT run_pk PRIMARY KEY(run_uuid)".to_owned())
        );
    }

    #[test]
    fn a_constraint_without_a_name_is_known_by_its_beginning_and_checks_without_one_go() {
        let (method, clauses) = changed(&[
            Change::DropUnnamed("runs_experiment_id_fkey", "FOREIGN KEY (experiment_id)"),
            Change::Drop("status"),
        ]);
        assert_eq!(method, AlterMethod::Text);
        assert_eq!(clauses[4..], ["CONSTRAINT run_pk PRIMARY KEY(run_uuid)"]);
    }

    #[test]
    fn what_is_done_already_is_no_change() {
        let again =
            [Change::Add("status VARCHAR(20)"), Change::Drop("nothing"), Change::Widen("status", "VARCHAR(20)")];
        assert_eq!(changed(&again).0, AlterMethod::None);
    }
}
