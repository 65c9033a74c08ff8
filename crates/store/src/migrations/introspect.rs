//! Reads the schema of a database, with a name for everything that can differ.

use std::collections::BTreeMap;

use super::definition::{Definition, normal};
use crate::{
    db::{DbError, Direct, Statement, Upkeep, dialect::Dialect},
    schema::own::is_own,
};

/// Objects by name, such as `column runs.status`, each with its properties, such as `type`.
pub(super) type Objects = BTreeMap<String, BTreeMap<&'static str, String>>;

/// The tables of a database and their objects. ferroflow's own ones, whose names begin with `ff_`, are omitted.
pub(super) async fn objects(direct: &Direct) -> Result<Objects, DbError> {
    let mut found = match direct.dialect() {
        Dialect::Postgres => postgres(direct).await?,
        Dialect::Sqlite => sqlite(direct).await?,
    };
    found.retain(|name, _| {
        let name = name.split_once(' ').map_or(name.as_str(), |(_, name)| name);
        !name.split('.').any(is_own)
    });
    Ok(found)
}

/// The table that an object belongs to.
pub(super) fn table_of(object: &str) -> &str {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    name.split('.').next().unwrap_or(name)
}

/// The rows of a query of the catalog: kind and name of the object, name and value of a property.
async fn read(direct: &Direct, sql: &'static str) -> Result<Vec<(String, String, String)>, DbError> {
    direct
        .query(Statement::unscoped(Upkeep::Migration, sql, Vec::new()), |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<Option<String>>(2)?.unwrap_or_default()))
        })
        .await
}

const SQLITE_COLUMNS: &str = "SELECT 'column ' || m.name || '.' || c.name, p.property, \
     CASE p.property WHEN 'type' THEN c.type WHEN 'null' THEN CASE c.\"notnull\" WHEN 0 THEN 'yes' ELSE 'no' END \
     WHEN 'default' THEN COALESCE(c.dflt_value, 'none') ELSE CASE c.hidden WHEN 0 THEN 'no' ELSE 'yes' END END \
     FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c \
     JOIN (SELECT 'type' AS property UNION ALL SELECT 'null' UNION ALL SELECT 'default' UNION ALL SELECT 'computed') AS p \
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'";

const SQLITE_MASTER: &str = "SELECT type, CASE type WHEN 'table' THEN name ELSE tbl_name || '.' || name END, sql \
     FROM sqlite_master WHERE type IN ('table', 'index', 'trigger') AND name NOT LIKE 'sqlite!_%' ESCAPE '!'";

async fn sqlite(direct: &Direct) -> Result<Objects, DbError> {
    let mut objects = Objects::new();
    for (name, property, value) in read(direct, SQLITE_COLUMNS).await? {
        let property = match property.as_str() {
            "type" => "type",
            "null" => "null",
            "default" => "default",
            _ => "computed",
        };
        objects.entry(name).or_default().insert(property, value);
    }
    for (kind, name, sql) in read(direct, SQLITE_MASTER).await? {
        if kind != "table" {
            objects.entry(format!("{kind} {name}")).or_default().insert("definition", normal(&sql));
            continue;
        }
        for clause in Definition::parse(&sql).iter().flat_map(Definition::constraints) {
            // An unnamed constraint is named by its definition.
            let named = clause.strip_prefix("CONSTRAINT ").and_then(|rest| rest.split_once(' '));
            let (constraint, definition) = named.unwrap_or((&clause, ""));
            let object = objects.entry(format!("constraint {name}.{constraint}")).or_default();
            object.insert("definition", definition.to_owned());
        }
        objects.entry(format!("table {name}")).or_default();
    }
    Ok(objects)
}

const POSTGRES_TABLES: &str = "SELECT 'table ' || relname, '', '' FROM pg_class \
     WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace";

const POSTGRES_COLUMNS: &str = "SELECT 'column ' || c.relname || '.' || a.attname, p.property, \
     CASE p.property WHEN 'type' THEN format_type(a.atttypid, a.atttypmod) \
     WHEN 'null' THEN CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END \
     WHEN 'default' THEN COALESCE(pg_get_expr(d.adbin, d.adrelid), 'none') \
     ELSE a.attidentity::text || a.attgenerated::text END \
     FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
     LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     CROSS JOIN (VALUES ('type'), ('null'), ('default'), ('computed')) AS p (property) \
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace \
     AND a.attnum > 0 AND NOT a.attisdropped";

// NOT NULL is a property of its column; PostgreSQL 18 lists it as a constraint too.
const POSTGRES_OTHERS: &str = "SELECT 'constraint ' || r.relname || '.' || c.conname, 'definition', \
     pg_get_constraintdef(c.oid) FROM pg_constraint AS c JOIN pg_class AS r ON r.oid = c.conrelid \
     WHERE c.connamespace = current_schema()::regnamespace AND c.contype <> 'n' \
     UNION ALL SELECT 'index ' || t.relname || '.' || c.relname, 'definition', pg_get_indexdef(i.indexrelid) \
     FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid \
     WHERE c.relnamespace = current_schema()::regnamespace \
     AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u')) \
     UNION ALL SELECT 'trigger ' || c.relname || '.' || t.tgname, 'definition', pg_get_triggerdef(t.oid) \
     FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid \
     WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal";

async fn postgres(direct: &Direct) -> Result<Objects, DbError> {
    let schema = direct.texts("SELECT CAST(current_schema() AS TEXT)").await?.concat();
    let mut objects = Objects::new();
    for sql in [POSTGRES_TABLES, POSTGRES_COLUMNS, POSTGRES_OTHERS] {
        for (name, property, value) in read(direct, sql).await? {
            let object = objects.entry(name).or_default();
            let property = match property.as_str() {
                "type" => "type",
                "null" => "null",
                "default" => "default",
                "computed" => "computed",
                "definition" => "definition",
                _ => continue,
            };
            // The schema's name is included if it is not on the search path; it is not a part of the definition.
            let value = value.replace(&format!("{schema}."), "").replace(&format!("\"{schema}\"."), "");
            object.insert(property, value);
        }
    }
    Ok(objects)
}
