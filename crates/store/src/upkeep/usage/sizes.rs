//! The sizes of tables.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    db::{DbError, Direct, Row, Statement, upkeep::Backup},
    statements::statements,
};

statements! {
    static DATABASE: Backup =
        "{postgres:SELECT pg_database_size(current_database())}\
         {sqlite:SELECT p.page_count * s.page_size FROM pragma_page_count p, pragma_page_size s}";

    /// SQLite's virtual table reads every page of the file once.
    static TABLES: Backup =
        "{postgres:SELECT CAST(c.relname AS TEXT), CAST(c.reltuples AS BIGINT), pg_table_size(c.oid), pg_indexes_size(c.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')}\
         {sqlite:SELECT COALESCE(m.tbl_name, s.name), -1, SUM(CASE WHEN m.type = 'index' THEN 0 ELSE s.pgsize END), \
         SUM(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END) FROM dbstat s \
         LEFT JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1}";
}

/// The size of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Number of rows: counted, or PostgreSQL's estimate of the last ANALYZE; `None` if neither is known.
    pub rows: Option<i64>,
    /// Bytes of its rows, with what is stored out of line.
    pub bytes: i64,
    /// Bytes of its indexes.
    pub index_bytes: i64,
}

/// The size of the database, and of its tables, largest first.
pub(super) async fn tables(direct: &Direct) -> Result<(i64, Vec<TableSize>), DbError> {
    let total = direct.query(Statement::new(&DATABASE, Vec::new()), |row| row.get::<i64>(0)).await?;
    let mut tables = direct.query(Statement::new(&TABLES, Vec::new()), from_row).await?;
    tables.sort_by(|a, b| (b.bytes + b.index_bytes, &a.name).cmp(&(a.bytes + a.index_bytes, &b.name)));
    Ok((total.first().copied().unwrap_or_default(), tables))
}

/// Notes the counted rows of tables, and returns the average bytes of a row with its indexes.
pub(super) fn averages(tables: &mut [TableSize], counted: &[(&'static str, i64)]) -> HashMap<&'static str, (i64, i64)> {
    let mut averages = HashMap::new();
    for (name, rows) in counted.iter().filter(|(_, rows)| *rows > 0) {
        let Some(table) = tables.iter_mut().find(|table| table.name == *name) else { continue };
        table.rows = Some(*rows);
        averages.insert(*name, (table.bytes + table.index_bytes, *rows));
    }
    averages
}

/// The bytes that rows take.
pub(super) fn bytes(averages: &HashMap<&'static str, (i64, i64)>, rows: &[(&'static str, i64)]) -> i64 {
    rows.iter()
        .filter_map(|(name, rows)| {
            let (bytes, of) = averages.get(name)?;
            i64::try_from(i128::from(*bytes) * i128::from(*rows) / i128::from(*of)).ok()
        })
        .sum()
}

fn from_row(row: &Row<'_>) -> Result<TableSize, DbError> {
    let rows = Some(row.get::<i64>(1)?).filter(|rows| *rows >= 0);
    Ok(TableSize { name: row.get(0)?, rows, bytes: row.get(2)?, index_bytes: row.get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_average_rows() {
        let table = |name: &str, bytes| TableSize { name: name.into(), rows: None, bytes, index_bytes: bytes };
        let mut tables = [table("metrics", 5_000_000_000_000), table("runs", 100), table("empty", 8192)];
        let averages = averages(&mut tables, &[("metrics", 10_000_000_000), ("runs", 2), ("empty", 0), ("none", 1)]);
        assert_eq!(tables[0].rows, Some(10_000_000_000));
        assert_eq!(bytes(&averages, &[("metrics", 5_000_000_000), ("runs", 1)]), 5_000_000_000_100);
        assert_eq!(bytes(&averages, &[("empty", 7), ("none", 7)]), 0);
    }
}
