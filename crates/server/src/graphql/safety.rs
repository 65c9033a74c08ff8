//! Limits that a query must meet before it is executed, against queries that are made to be expensive.

use std::collections::{HashMap, HashSet};

use ferroflow_model::limits;
use graphql_parser::query::{Definition, Document, Field, OperationDefinition, Selection, SelectionSet};

const MAX_DEPTH: usize = 10;
const MAX_SELECTIONS: usize = 1000;

/// Maximum nesting of any kind, including fragments in fragments, which are not levels of the response.
const MAX_NESTING: usize = 100;

/// Maximum number of selections visited by execution: those of a fragment count once per spread.
const MAX_STEPS: usize = 10 * MAX_SELECTIONS;

/// Configurable limits for a whole query.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of root fields (`MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS`).
    pub root_fields: usize,
    /// Maximum number of aliases at one level (`MLFLOW_SERVER_GRAPHQL_MAX_ALIASES`).
    pub aliases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { root_fields: 10, aliases: 10 }
    }
}

type Set = SelectionSet<'static, String>;

/// Refuses a query before it is parsed, if it has too many tokens, or if substituting its variables could expand it too
/// much. `length` is that of the request body in bytes.
///
/// # Errors
/// The message for the client.
pub(super) fn check_text(text: &str, length: usize) -> Result<(), String> {
    let (mut tokens, mut variables, mut follows_letter) = (0_usize, 0_usize, false);
    for byte in text.bytes() {
        let is_in_word = byte.is_ascii_alphanumeric() || byte == b'_';
        // Strings and comments are tokenized too.
        tokens += usize::from(if is_in_word { !follows_letter } else { byte.is_ascii_punctuation() && byte != b',' });
        variables += usize::from(byte == b'$');
        follows_letter = is_in_word;
    }
    if tokens > limits::GRAPHQL_TOKENS {
        return Err(format!("Query exceeds maximum total tokens of {}", limits::GRAPHQL_TOKENS));
    }
    if variables * length > limits::GRAPHQL_EXPANDED {
        return Err(format!("Query exceeds {} bytes with its variables expanded", limits::GRAPHQL_EXPANDED));
    }
    Ok(())
}

/// Refuses a query that is too deep, too large, or has too many root fields or aliases.
///
/// # Errors
/// The message for the client.
pub(super) fn check(document: &Document<'static, String>, limits: Limits) -> Result<(), String> {
    let fragments: HashMap<&str, &Set> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Fragment(fragment) => Some((fragment.name.as_str(), &fragment.selection_set)),
            Definition::Operation(_) => None,
        })
        .collect();
    let mut walk = Walk { fragments: &fragments, path: Vec::new(), steps: 0 };
    for definition in &document.definitions {
        if let Definition::Operation(operation) = definition {
            walk.visit(root(operation), 1)?;
        }
    }
    let (mut root_fields, mut aliases, mut selections) = (0, 0, 0);
    for definition in &document.definitions {
        let Definition::Operation(operation) = definition else { continue };
        let mut stack = vec![(root(operation), 1)];
        while let Some((set, depth)) = stack.pop() {
            if depth > MAX_DEPTH {
                return Err(too_deep());
            }
            let fields = fields_of(set, &fragments);
            aliases = aliases.max(fields.iter().filter(|field| field.alias.is_some()).count());
            for field in fields {
                root_fields += usize::from(depth == 1);
                selections += 1;
                if selections > MAX_SELECTIONS {
                    return Err(too_large());
                }
                if !field.selection_set.items.is_empty() {
                    stack.push((&field.selection_set, depth + 1));
                }
            }
        }
    }
    let refuse = |limit: usize, got: usize, what: &str, variable: &str| {
        Err(format!(
            "GraphQL queries should have at most {limit} {what}, got {got} {what}. \
             To increase the limit, set the {variable} environment variable."
        ))
    };
    if root_fields > limits.root_fields {
        refuse(limits.root_fields, root_fields, "root fields", "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS")
    } else if aliases > limits.aliases {
        refuse(limits.aliases, aliases, "aliases", "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES")
    } else {
        Ok(())
    }
}

fn too_deep() -> String {
    format!("Query exceeds maximum depth of {MAX_DEPTH}")
}

fn too_large() -> String {
    format!("Query exceeds maximum total selections of {MAX_SELECTIONS}")
}

/// Visits a query in the way its execution does, which must be neither long nor deep.
struct Walk<'a, 'd> {
    fragments: &'a HashMap<&'d str, &'d Set>,
    /// The enclosing fragments. A fragment that contains itself is refused later, with its name.
    path: Vec<&'d str>,
    steps: usize,
}

impl<'d> Walk<'_, 'd> {
    fn visit(&mut self, set: &'d Set, nesting: usize) -> Result<(), String> {
        if nesting > MAX_NESTING {
            return Err(too_deep());
        }
        for selection in &set.items {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(too_large());
            }
            match selection {
                Selection::Field(field) => self.visit(&field.selection_set, nesting + 1)?,
                Selection::InlineFragment(inline) => self.visit(&inline.selection_set, nesting + 1)?,
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    if let Some(set) = self.fragments.get(name).filter(|_| !self.path.contains(&name)) {
                        self.path.push(name);
                        self.visit(set, nesting + 1)?;
                        self.path.pop();
                    }
                }
            }
        }
        Ok(())
    }
}

/// The selection set of an operation.
pub(super) fn root<'d>(operation: &'d OperationDefinition<'static, String>) -> &'d Set {
    match operation {
        OperationDefinition::SelectionSet(set) => set,
        OperationDefinition::Query(query) => &query.selection_set,
        OperationDefinition::Mutation(mutation) => &mutation.selection_set,
        OperationDefinition::Subscription(subscription) => &subscription.selection_set,
    }
}

/// The fields of one level, including those of fragments; each fragment once.
fn fields_of<'d>(set: &'d Set, fragments: &HashMap<&'d str, &'d Set>) -> Vec<&'d Field<'static, String>> {
    let mut fields = Vec::new();
    let mut seen = HashSet::new();
    let mut sets = vec![set];
    while let Some(set) = sets.pop() {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => fields.push(field),
                Selection::InlineFragment(inline) => sets.push(&inline.selection_set),
                Selection::FragmentSpread(spread) => {
                    if seen.insert(spread.fragment_name.as_str())
                        && let Some(set) = fragments.get(spread.fragment_name.as_str())
                    {
                        sets.push(set);
                    }
                }
            }
        }
    }
    fields
}
