//! Bind parameters and result rows, the same for both drivers.

use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::DbError;

/// A bound parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean; 0 or 1 in SQLite.
    Bool(bool),
    /// Any integer; narrowed to the column's type.
    Int(i64),
    /// A double.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of texts: an array in PostgreSQL, a JSON array in SQLite.
    Texts(Vec<String>),
    /// A list of integers: an array in PostgreSQL, a JSON array in SQLite.
    Ints(Vec<i64>),
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self::Texts(values)
    }
}

impl From<&[String]> for Value {
    fn from(values: &[String]) -> Self {
        Self::Texts(values.to_vec())
    }
}

impl From<Vec<i64>> for Value {
    fn from(values: Vec<i64>) -> Self {
        Self::Ints(values)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// The type the parameter is declared as in a statement that is not prepared by name.
    pub(super) fn postgres_type(&self) -> Type {
        match self {
            Self::Null | Self::Text(_) => Type::TEXT,
            Self::Bool(_) => Type::BOOL,
            Self::Int(_) => Type::INT8,
            Self::Real(_) => Type::FLOAT8,
            Self::Bytes(_) => Type::BYTEA,
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Ints(_) => Type::INT8_ARRAY,
        }
    }
}

type EncodeError = Box<dyn std::error::Error + Sync + Send>;

/// A parameter in text format with an unspecified type, for a statement of static text that is not prepared by name:
/// the server infers the type from the context, as it does for a prepared statement.
#[derive(Debug)]
pub(super) struct Literal<'a>(&'a Value);

impl<'a> Literal<'a> {
    /// The parameter with the type that it is declared as.
    pub(super) fn typed(value: &'a Value) -> (Self, Type) {
        let ty = match value {
            // An int8 array compares with integers of any width, in binary format.
            Value::Ints(_) => Type::INT8_ARRAY,
            Value::Bytes(_) => Type::BYTEA,
            _ => Type::UNKNOWN,
        };
        (Self(value), ty)
    }
}

impl ToSql for Literal<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, EncodeError> {
        let text = match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Ints(_) | Value::Bytes(_) => return self.0.to_sql(ty, out),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Texts(values) => array(values),
            Value::Text(value) => {
                out.extend_from_slice(value.as_bytes());
                return Ok(IsNull::No);
            }
        };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        if matches!(self.0, Value::Ints(_) | Value::Bytes(_)) { Format::Binary } else { Format::Text }
    }

    to_sql_checked!();
}

/// An array literal (PostgreSQL's manual, "Array Input and Output Syntax").
fn array(texts: &[String]) -> String {
    let quoted = texts.iter().map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, EncodeError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) if *ty == Type::BOOL => value.to_sql(ty, out),
            Self::Int(value) => match *ty {
                Type::INT8 => value.to_sql(ty, out),
                Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*value)?.to_sql(ty, out),
                #[allow(clippy::cast_precision_loss)] // a double column holds what a double holds
                Type::FLOAT8 => (*value as f64).to_sql(ty, out),
                _ => Err(mismatch(self, ty)),
            },
            Self::Real(value) if *ty == Type::FLOAT8 => value.to_sql(ty, out),
            Self::Text(value) if is_text(ty) => value.to_sql(ty, out),
            Self::Text(value) if *ty == Type::JSON || *ty == Type::JSONB => {
                serde_json::from_str::<serde_json::Value>(value)?.to_sql(ty, out)
            }
            Self::Bytes(value) if *ty == Type::BYTEA => value.to_sql(ty, out),
            Self::Texts(values) if *ty == Type::TEXT_ARRAY || *ty == Type::VARCHAR_ARRAY => values.to_sql(ty, out),
            Self::Ints(values) => match *ty {
                Type::INT8_ARRAY => values.to_sql(ty, out),
                Type::INT4_ARRAY => {
                    // An id out of the column's range matches no row: it is omitted.
                    let values: Vec<i32> = values.iter().filter_map(|value| i32::try_from(*value).ok()).collect();
                    values.to_sql(ty, out)
                }
                _ => Err(mismatch(self, ty)),
            },
            _ => Err(mismatch(self, ty)),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)
}

fn mismatch(value: &Value, ty: &Type) -> EncodeError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Real(_) => "double",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Texts(_) => "list of texts",
        Value::Ints(_) => "list of integers",
    };
    format!("a {kind} cannot be bound as {ty}").into()
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*value))),
            Self::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Borrowed(ValueRef::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Self::Texts(values) => json(values)?,
            Self::Ints(values) => json(values)?,
        })
    }
}

fn json<T: serde::Serialize>(values: &[T]) -> rusqlite::Result<ToSqlOutput<'static>> {
    let text =
        serde_json::to_string(values).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok(ToSqlOutput::Owned(rusqlite::types::Value::Text(text)))
}

/// A result row, borrowed from the driver.
pub enum Row<'a> {
    /// From tokio-postgres.
    Postgres(&'a tokio_postgres::Row),
    /// From rusqlite.
    Sqlite(&'a rusqlite::Row<'a>),
}

impl Row<'_> {
    /// The value of the column at `index`, zero-based.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, DbError> {
        T::from_column(self, index)
    }

    /// The size of the columns, in bytes.
    pub(crate) fn size(&self) -> Result<usize, DbError> {
        match self {
            Self::Postgres(row) => Ok(row.raw_size_bytes()),
            Self::Sqlite(row) => {
                let columns = row.as_ref().column_count();
                let mut size = 8 * columns;
                for index in 0..columns {
                    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(index)? {
                        size += bytes.len();
                    }
                }
                Ok(size)
            }
        }
    }

    /// A text column without a copy. NULL is an error.
    pub fn str(&self, index: usize) -> Result<&str, DbError> {
        self.opt_str(index)?.ok_or_else(|| DbError::Other(format!("column {index} is NULL")))
    }

    /// A text column without a copy; `None` for NULL.
    pub fn opt_str(&self, index: usize) -> Result<Option<&str>, DbError> {
        match self {
            Self::Postgres(row) => Ok(row.try_get(index)?),
            Self::Sqlite(row) => match row.get_ref(index)? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(text) => {
                    std::str::from_utf8(text).map(Some).map_err(|error| DbError::Other(error.to_string()))
                }
                other => Err(DbError::Other(format!("column {index} holds {} instead of text", other.data_type()))),
            },
        }
    }
}

/// A type that a column can be read as.
pub trait FromColumn: Sized {
    /// Reads the column at `index`, zero-based.
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError>;
}

impl FromColumn for String {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        row.str(index).map(str::to_owned)
    }
}

impl FromColumn for i64 {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        Option::<i64>::from_column(row, index)?.ok_or_else(|| DbError::Other(format!("column {index} is NULL")))
    }
}

impl FromColumn for f64 {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        Option::<f64>::from_column(row, index)?.ok_or_else(|| DbError::Other(format!("column {index} is NULL")))
    }
}

impl FromColumn for bool {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => Ok(row.try_get::<_, Option<bool>>(index)?.unwrap_or_default()),
            Row::Sqlite(row) => Ok(row.get::<_, Option<bool>>(index)?.unwrap_or_default()),
        }
    }
}

impl FromColumn for Option<String> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        Ok(row.opt_str(index)?.map(str::to_owned))
    }
}

impl FromColumn for Option<i64> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => match *row.columns()[index].type_() {
                Type::INT4 => Ok(row.try_get::<_, Option<i32>>(index)?.map(i64::from)),
                Type::INT2 => Ok(row.try_get::<_, Option<i16>>(index)?.map(i64::from)),
                _ => Ok(row.try_get(index)?),
            },
            Row::Sqlite(row) => Ok(row.get(index)?),
        }
    }
}

impl FromColumn for Option<f64> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => Ok(row.try_get(index)?),
            Row::Sqlite(row) => Ok(row.get(index)?),
        }
    }
}

impl FromColumn for Vec<i64> {
    /// A PostgreSQL array; NULL is an empty one.
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => Ok(row.try_get::<_, Option<Self>>(index)?.unwrap_or_default()),
            Row::Sqlite(_) => Err(DbError::Other(format!("column {index} is no array"))),
        }
    }
}

impl FromColumn for Vec<f64> {
    /// A PostgreSQL array; NULL is an empty one.
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => Ok(row.try_get::<_, Option<Self>>(index)?.unwrap_or_default()),
            Row::Sqlite(_) => Err(DbError::Other(format!("column {index} is no array"))),
        }
    }
}

impl FromColumn for Value {
    /// A value of any scalar type, such as a sort key.
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, DbError> {
        match row {
            Row::Postgres(row) => match *row.columns()[index].type_() {
                Type::INT2 | Type::INT4 | Type::INT8 => {
                    Ok(Option::<i64>::from_column(&Row::Postgres(row), index)?.into())
                }
                Type::FLOAT8 => Ok(row.try_get::<_, Option<f64>>(index)?.into()),
                Type::BOOL => Ok(row.try_get::<_, Option<bool>>(index)?.into()),
                _ => Ok(row.try_get::<_, Option<String>>(index)?.into()),
            },
            Row::Sqlite(row) => Ok(match row.get_ref(index)? {
                ValueRef::Null => Self::Null,
                ValueRef::Integer(value) => Self::Int(value),
                ValueRef::Real(value) => Self::Real(value),
                ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
            }),
        }
    }
}
