//! `cargo xtask messages`: writes `crates/model/src/messages/` from the descriptors in the reference's wheel.
//!
//! `messages.py` prints the descriptors as JSON with the Python that has the reference installed;
//! everything else happens here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The version of the reference whose messages are generated.
const REFERENCE: &str = "3.17.2";

#[derive(Deserialize)]
struct Surface {
    version: String,
    calls: Vec<Call>,
    messages: BTreeMap<String, Message>,
    enums: BTreeMap<String, Enum>,
}

#[derive(Deserialize)]
struct Call {
    request: String,
    response: String,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    method: String,
    path: String,
    version: u8,
}

#[derive(Deserialize)]
struct Message {
    file: String,
    fields: Vec<Field>,
    map_entry: bool,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    json_name: String,
    /// `FieldDescriptorProto.Type`.
    r#type: u8,
    repeated: bool,
    /// Full name of the message or enum.
    kind: Option<String>,
    oneof: Option<String>,
    default: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Enum {
    file: String,
    values: Vec<(String, i32)>,
}

/// How a field looks in Rust.
struct Shape {
    /// The type of one value.
    rust: String,
    /// The variant of `wire::Kind`.
    kind: String,
    /// The functions of `wire::read` and `wire::write`.
    access: &'static str,
    map: bool,
}

/// Regenerates the messages with the Python that has the reference installed.
pub(crate) fn run(python: &str) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(python)
        .arg(root.join("xtask/src/messages.py"))
        .output()
        .with_context(|| format!("cannot run {python}"))?;
    if !output.status.success() {
        bail!("{python} cannot print the messages of mlflow=={REFERENCE}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let surface: Surface = serde_json::from_slice(&output.stdout)?;
    ensure!(surface.version == REFERENCE, "{python} has mlflow {}, not {REFERENCE}", surface.version);

    let folder = root.join("crates/model/src/messages");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let index = root.join("crates/model/src/messages.rs");
    let mut written = vec![index.clone()];
    let files: BTreeSet<&str> = surface
        .messages
        .values()
        .map(|m| m.file.as_str())
        .chain(surface.enums.values().map(|e| e.file.as_str()))
        .filter(|file| !file.starts_with("google/"))
        .collect();
    fs::write(&index, surface.index(&files))?;
    for file in files {
        let path = folder.join(format!("{}.rs", module(file)));
        fs::write(&path, surface.file(file)?)?;
        written.push(path);
    }
    let status = Command::new("rustfmt").args(["--edition", "2024"]).args(&written).status()?;
    ensure!(status.success(), "rustfmt failed");
    println!("{} messages, {} calls", surface.messages.len(), surface.calls.len());
    Ok(())
}

impl Surface {
    fn index(&self, files: &BTreeSet<&str>) -> String {
        let mut out = header("The messages of the API, one module per proto file of the reference.");
        for file in files {
            let _ = writeln!(out, "pub mod {};", module(file));
        }
        out.push_str("\nuse crate::wire::RpcInfo;\n");
        let _ = writeln!(
            out,
            "\n/// Every call that the reference routes through a message, in the order of its proto files.\n\
             pub static RPCS: &[RpcInfo] = &["
        );
        for call in &self.calls {
            let path = self.path(&call.request);
            let _ = writeln!(out, "RpcInfo::of::<{path}>(),");
        }
        out.push_str("];\n");
        out
    }

    /// The path of a message or enum inside `crate::messages`.
    fn path(&self, full_name: &str) -> String {
        let file = self.messages.get(full_name).map(|m| &m.file).or_else(|| self.enums.get(full_name).map(|e| &e.file));
        format!("{}::{}", module(file.map_or("", String::as_str)), type_name(full_name))
    }

    fn file(&self, file: &str) -> Result<String> {
        let mut out = header(&format!("Messages of `{file}`."));
        out.push_str(
            "#![allow(missing_docs, reason = \"names and meaning are those of the proto file\")]\n\
             #![allow(clippy::enum_variant_names, clippy::doc_markdown, reason = \"names of the proto file\")]\n\n",
        );
        let mut body = String::new();
        for (name, message) in self.messages.iter().filter(|(_, m)| m.file == file && !m.map_entry) {
            self.message(&mut body, file, name, message)?;
        }
        for (name, values) in self.enums.iter().filter(|(_, e)| e.file == file) {
            self::enumeration(&mut body, name, values);
        }
        if body.contains("BTreeMap<") {
            out.push_str("use std::collections::BTreeMap;\n\n");
        }
        out.push_str(
            "use serde::{Deserialize, Deserializer, Serialize, Serializer, de::MapAccess, ser::SerializeMap as _};\n",
        );
        let wire: Vec<&str> = ["Enum", "Field", "Kind", "Message", "Route", "Rpc", "fields", "read", "write"]
            .into_iter()
            .filter(|name| uses(&body, name))
            .collect();
        let _ = writeln!(out, "\nuse crate::wire::{{{}}};\n", wire.join(", "));
        out.push_str(&body);
        Ok(out)
    }

    fn message(&self, out: &mut String, file: &str, full_name: &str, message: &Message) -> Result<()> {
        let name = type_name(full_name);
        ensure!(message.fields.len() <= 64, "{full_name} has more than 64 fields");
        let fields: Vec<(&Field, Shape)> =
            message.fields.iter().map(|f| Ok((f, self.shape(file, f)?))).collect::<Result<_>>()?;
        let oneofs: Vec<&String> =
            message.fields.iter().filter_map(|f| f.oneof.as_ref()).collect::<BTreeSet<_>>().into_iter().collect();

        let _ = writeln!(out, "/// `{full_name}`\n#[derive(Debug, Clone, Default, PartialEq)]\npub struct {name} {{");
        for (field, shape) in &fields {
            let _ = writeln!(out, "pub {}: {},", ident(&field.name), slot_type(field, shape));
        }
        out.push_str("}\n\n");

        let mut getters = String::new();
        for (field, shape) in &fields {
            let ident = ident(&field.name);
            if field.default.is_some() {
                let default = self.default(field, shape)?;
                let _ = writeln!(
                    getters,
                    "/// The field, or its declared default `{default}`.\n#[must_use]\n\
                     pub fn {ident}(&self) -> {} {{ self.{ident}.unwrap_or({default}) }}",
                    shape.rust
                );
            } else if shape.rust == "String" && !field.repeated {
                let _ = writeln!(
                    getters,
                    "/// The field, or the empty text.\n#[must_use]\n\
                     pub fn {ident}(&self) -> &str {{ self.{ident}.as_deref().unwrap_or_default() }}"
                );
            }
        }
        if !getters.is_empty() {
            let _ = writeln!(out, "impl {name} {{\n{getters}}}\n");
        }

        let _ = writeln!(out, "impl Message for {name} {{\nconst FIELDS: &'static [Field] = &[");
        for (field, shape) in &fields {
            let oneof = field.oneof.as_ref().and_then(|o| oneofs.iter().position(|n| *n == o)).map_or(0, |i| i + 1);
            let constructor = if field.repeated && !shape.map { "list" } else { "one" };
            let oneof = if oneof == 0 { String::new() } else { format!(".in_oneof({oneof})") };
            let _ =
                writeln!(out, "Field::{constructor}({:?}, {:?}, {}){oneof},", field.name, field.json_name, shape.kind);
        }
        out.push_str("];\n\n");
        if fields.is_empty() {
            out.push_str(
                "fn read_field<'de, A: MapAccess<'de>>(&mut self, _: usize, map: &mut A) -> Result<bool, A::Error> {\n\
                 read::skip(map)\n}\n}\n\n",
            );
        } else {
            out.push_str(
                "fn read_field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<bool, A::Error> {\n\
                 match field {\n",
            );
            for (index, (field, shape)) in fields.iter().enumerate() {
                let _ = writeln!(
                    out,
                    "{index} => read::{}(&mut self.{}, map),",
                    function(field, shape),
                    ident(&field.name)
                );
            }
            out.push_str("_ => read::skip(map),\n}\n}\n}\n\n");
        }

        let _ = writeln!(
            out,
            "impl Serialize for {name} {{\n\
             fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{\n\
             let {}map = serializer.serialize_map(None)?;",
            if fields.is_empty() { "" } else { "mut " }
        );
        for (field, shape) in &fields {
            let reader = function(field, shape);
            let (function, argument) = match reader {
                "json" | "value" => ("value", format!("self.{}.as_ref()", ident(&field.name))),
                "double" | "float" => (reader, format!("self.{}", ident(&field.name))),
                other => (other, format!("&self.{}", ident(&field.name))),
            };
            let _ = writeln!(out, "write::{function}(&mut map, {:?}, {argument})?;", field.name);
        }
        out.push_str("map.end()\n}\n}\n\n");

        let _ = writeln!(
            out,
            "impl<'de> Deserialize<'de> for {name} {{\n\
             fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {{\n\
             read::message(deserializer)\n}}\n}}\n"
        );

        if let Some(call) = self.calls.iter().find(|c| c.request == full_name) {
            let _ = writeln!(
                out,
                "impl Rpc for {name} {{\nconst NAME: &'static str = {:?};\nconst ROUTES: &'static [Route] = &[",
                full_name.trim_start_matches("mlflow.")
            );
            for Route { method, path, version } in &call.routes {
                let _ = writeln!(out, "Route {{ method: {method:?}, path: {path:?}, version: {version} }},");
            }
            let _ = writeln!(out, "];\ntype Response = {};\n", self.relative(file, &call.response));
            let strings: Vec<_> =
                fields.iter().enumerate().filter(|(_, (f, _))| f.r#type == 9 && !f.repeated).collect();
            if strings.is_empty() {
                out.push_str("fn is_blank(&self, _: usize) -> bool {\nfalse\n}\n}\n\n");
            } else {
                out.push_str("fn is_blank(&self, field: usize) -> bool {\nmatch field {\n");
                for (index, (field, _)) in strings {
                    let _ = writeln!(out, "{index} => self.{}.as_deref() == Some(\"\"),", ident(&field.name));
                }
                out.push_str("_ => false,\n}\n}\n}\n\n");
            }
        }
        Ok(())
    }

    /// How a type of another file, or of this one, is named in `file`.
    fn relative(&self, file: &str, full_name: &str) -> String {
        let path = self.path(full_name);
        match path.split_once("::") {
            Some((other, name)) if other == module(file) => name.to_owned(),
            _ => format!("super::{path}"),
        }
    }

    fn shape(&self, file: &str, field: &Field) -> Result<Shape> {
        let shape = |rust: &str, kind: &str, access: &'static str| {
            Ok(Shape { rust: rust.to_owned(), kind: format!("Kind::{kind}"), access, map: false })
        };
        let kind = field.kind.as_deref().unwrap_or_default();
        match (field.r#type, kind) {
            (11, "google.protobuf.Value") => shape("serde_json::Value", "Value", "json"),
            (11, "google.protobuf.Struct") => shape("serde_json::Map<String, serde_json::Value>", "Struct", "value"),
            (11, "google.protobuf.ListValue") => shape("Vec<serde_json::Value>", "ListValue", "value"),
            (11, "google.protobuf.Timestamp") => shape("crate::wire::Timestamp", "Timestamp", "value"),
            (11, "google.protobuf.Duration") => shape("crate::wire::Duration", "Duration", "value"),
            (11, "google.protobuf.FieldMask") => shape("crate::wire::FieldMask", "FieldMask", "value"),
            (11, _) => {
                let message = self.messages.get(kind).with_context(|| format!("no message {kind}"))?;
                if !message.map_entry {
                    let name = self.relative(file, kind);
                    return shape(&name, &format!("Message(fields::<{name}>())"), "value");
                }
                let value = message.fields.iter().find(|f| f.name == "value").context("a map has values")?;
                let value = self.shape(file, value)?;
                let access = if value.rust == "f64" { "double_map" } else { "map" };
                Ok(Shape {
                    rust: format!("BTreeMap<String, {}>", value.rust),
                    kind: format!("Kind::Map(&{})", value.kind),
                    access,
                    map: true,
                })
            }
            (14, _) => {
                let name = self.relative(file, kind);
                shape(&name, &format!("Enum({name}::VALUES)"), "value")
            }
            (1, _) => shape("f64", "Double", "double"),
            (2, _) => shape("f32", "Float", "float"),
            (3 | 16 | 18, _) => shape("i64", "Int64", "value"),
            (4 | 6, _) => shape("u64", "Uint64", "value"),
            (5 | 15 | 17, _) => shape("i32", "Int32", "value"),
            (7 | 13, _) => shape("u32", "Uint32", "value"),
            (8, _) => shape("bool", "Bool", "value"),
            (9, _) => shape("String", "String", "value"),
            (12, _) => shape("String", "Bytes", "value"),
            (other, _) => bail!("field {} has type {other}, which no message had before", field.name),
        }
    }

    fn default(&self, field: &Field, shape: &Shape) -> Result<String> {
        let default = field.default.as_ref().context("a default")?;
        let Some(of) = field.kind.as_ref().and_then(|kind| self.enums.get(kind)) else {
            return Ok(match default.as_i64() {
                Some(number) if number >= 10_000 => separated(number),
                _ => default.to_string(),
            });
        };
        let (name, _) = of
            .values
            .iter()
            .find(|(_, number)| default.as_i64() == Some(i64::from(*number)))
            .context("the default is a value of the enum")?;
        Ok(format!("{}::{}", shape.rust, variant(name)))
    }
}

fn enumeration(out: &mut String, full_name: &str, of: &Enum) {
    let name = type_name(full_name);
    let _ = writeln!(out, "/// `{full_name}`\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]\npub enum {name} {{");
    for (value, _) in &of.values {
        let _ = writeln!(out, "{},", variant(value));
    }
    let _ = writeln!(out, "}}\n\nimpl Enum for {name} {{\nconst VALUES: &'static [(&'static str, i32)] = &[");
    for (value, number) in &of.values {
        let _ = writeln!(out, "({value:?}, {number}),");
    }
    out.push_str("];\nconst ALL: &'static [Self] = &[");
    for (value, _) in &of.values {
        let _ = write!(out, "Self::{}, ", variant(value));
    }
    let _ = writeln!(
        out,
        "];\n}}\n\nimpl Serialize for {name} {{\n\
         fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{\n\
         serializer.serialize_str(self.name())\n}}\n}}\n\n\
         impl<'de> Deserialize<'de> for {name} {{\n\
         fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {{\n\
         read::variant(deserializer)\n}}\n}}\n"
    );
}

fn header(what: &str) -> String {
    format!("//! {what}\n//!\n//! Generated by `cargo xtask messages` from mlflow {REFERENCE}: do not edit.\n\n")
}

/// The module of a proto file: `opentelemetry/proto/trace/v1/trace.proto` is `trace`.
fn module(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".proto")
}

/// The Rust name of a message or enum: `mlflow.CreateRun.Response` is `CreateRunResponse`.
fn type_name(full_name: &str) -> String {
    full_name.split('.').filter(|part| part.starts_with(|c: char| c.is_ascii_uppercase())).collect()
}

/// `LOGGED_MODEL_READY` is `LoggedModelReady`.
fn variant(name: &str) -> String {
    let capitalise = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + &chars.as_str().to_ascii_lowercase()
        })
    };
    name.split('_').map(capitalise).collect()
}

fn ident(name: &str) -> String {
    if matches!(name, "type" | "ref" | "match" | "in" | "use" | "as" | "fn" | "impl" | "loop" | "move") {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

fn slot_type(field: &Field, shape: &Shape) -> String {
    if shape.map {
        shape.rust.clone()
    } else if field.repeated {
        format!("Vec<{}>", shape.rust)
    } else {
        format!("Option<{}>", shape.rust)
    }
}

fn function(field: &Field, shape: &Shape) -> &'static str {
    if field.repeated && !shape.map { "list" } else { shape.access }
}

/// Whether `body` uses `name` as a word of code.
fn uses(body: &str, name: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

/// 200000 is `200_000`.
fn separated(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}
