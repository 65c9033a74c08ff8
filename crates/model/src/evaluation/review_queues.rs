//! Review queues: traces that users are asked to look at, and what became of them.

use crate::{
    Error, Result,
    messages::review_queues::{ReviewItemType, ReviewQueueType, ReviewStatus},
    python,
};

/// Maximum length of the name of a queue.
const NAME: usize = 250;
/// Maximum length of the name of a user.
const USER: usize = 250;
/// Maximum length of the id of a label schema.
const SCHEMA_ID: usize = 36;
/// Maximum length of the id of an item.
const ITEM_ID: usize = 50;
/// Maximum number of users that are assigned to a queue.
const USERS: usize = 10;

/// The name of the queue of a server without users.
const RESERVED: &str = "default";

/// The type of a new queue as it is stored.
///
/// # Errors
/// It is not set.
pub fn type_name(kind: Option<ReviewQueueType>) -> Result<&'static str> {
    match kind {
        Some(ReviewQueueType::User) => Ok("user"),
        Some(ReviewQueueType::Custom) => Ok("custom"),
        None | Some(ReviewQueueType::ReviewQueueTypeUnspecified) => {
            Err(Error::invalid("`queue_type` must be one of USER or CUSTOM; got proto enum value 0."))
        }
    }
}

/// The type of a stored queue.
#[must_use]
pub fn type_of(stored: &str) -> Option<ReviewQueueType> {
    match stored {
        "user" => Some(ReviewQueueType::User),
        "custom" => Some(ReviewQueueType::Custom),
        _ => None,
    }
}

/// The status of an item as it is stored.
///
/// # Errors
/// It is not set.
pub fn status_name(status: Option<ReviewStatus>) -> Result<&'static str> {
    match status {
        Some(ReviewStatus::Pending) => Ok("pending"),
        Some(ReviewStatus::Complete) => Ok("complete"),
        Some(ReviewStatus::Declined) => Ok("declined"),
        None | Some(ReviewStatus::ReviewStatusUnspecified) => {
            Err(Error::invalid("`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0."))
        }
    }
}

/// The status of a stored item.
#[must_use]
pub fn status_of(stored: &str) -> Option<ReviewStatus> {
    match stored {
        "pending" => Some(ReviewStatus::Pending),
        "complete" => Some(ReviewStatus::Complete),
        "declined" => Some(ReviewStatus::Declined),
        _ => None,
    }
}

/// The type of a stored item.
#[must_use]
pub fn item_type_of(stored: &str) -> Option<ReviewItemType> {
    (stored == "trace").then_some(ReviewItemType::Trace)
}

/// The name of a user as queues and assessments compare it.
#[must_use]
pub fn user(name: &str) -> String {
    python::strip(name).to_lowercase()
}

/// The key by which the name of a queue is unique in its experiment.
#[must_use]
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// The name of a new custom queue, or the new name of one.
///
/// # Errors
/// It is empty, too long or reserved.
pub fn custom_name(name: &str) -> Result<String> {
    let name = python::strip(name);
    check_text("name", name, NAME)?;
    if name.to_lowercase() == RESERVED {
        return Err(Error::invalid(format!(
            "`{name}` is a reserved queue name and cannot be used for a custom queue."
        )));
    }
    Ok(name.to_owned())
}

/// The new owner of a queue.
///
/// # Errors
/// The name is empty or too long.
pub fn owner(name: &str) -> Result<String> {
    let name = python::strip(name);
    check_text("new_owner", name, USER)?;
    Ok(name.to_owned())
}

/// The users that are assigned to a queue, each once.
///
/// # Errors
/// A name is empty or too long, or there are too many.
pub fn users(names: &[String]) -> Result<Vec<String>> {
    let users = each(names, "user", USER, user)?;
    if users.len() > USERS {
        return Err(Error::invalid(format!(
            "A review queue can have at most {USERS} assigned users; got {}.",
            users.len()
        )));
    }
    Ok(users)
}

/// The ids of the label schemas of a queue, each once.
///
/// # Errors
/// One is empty or too long.
pub fn schema_ids(ids: &[String]) -> Result<Vec<String>> {
    each(ids, "schema_id", SCHEMA_ID, |id| python::strip(id).to_owned())
}

/// The ids of items to add or remove, each once.
///
/// # Errors
/// There are none, or one is empty or too long.
pub fn item_ids(ids: &[String]) -> Result<Vec<String>> {
    if ids.is_empty() {
        return Err(Error::invalid("`item_ids` must be a non-empty list; got []."));
    }
    each(ids, "item_id", ITEM_ID, |id| python::strip(id).to_owned())
}

/// A new queue with what is derived for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQueue {
    /// The type as it is stored.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The assigned users.
    pub users: Vec<String>,
    /// The ids of its label schemas.
    pub schema_ids: Vec<String>,
}

impl NewQueue {
    /// Checks the fields of a request. The queue of a user is assigned to that user, and asks all questions of the
    /// experiment.
    ///
    /// # Errors
    /// A field is not valid.
    pub fn of(
        kind: Option<ReviewQueueType>,
        name: &str,
        given_users: &[String],
        given_schema_ids: &[String],
    ) -> Result<Self> {
        let kind = type_name(kind)?;
        let (mut users, schema_ids) = (users(given_users)?, schema_ids(given_schema_ids)?);
        if kind == "custom" {
            return Ok(Self { kind, name: custom_name(name)?, users, schema_ids });
        }
        let name = user(name);
        check_text("name", &name, NAME)?;
        if users.is_empty() {
            users.push(name.clone());
        } else if users != [name.as_str()] {
            return Err(Error::invalid(format!(
                "A user queue must have exactly one assigned user equal to its name; got name={} and users={}.",
                python::repr(&name),
                python::repr_list(&users)
            )));
        }
        if !schema_ids.is_empty() {
            return Err(Error::invalid(
                "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label \
                 schemas.",
            ));
        }
        Ok(Self { kind, name, users, schema_ids })
    }
}

/// The user to whom a new status is attributed: one, unless the item is reopened.
///
/// # Errors
/// There is one although the item is reopened, or none although it is not, or the name is too long.
pub fn completed_by(status: &str, given: Option<&str>) -> Result<Option<String>> {
    let given = given.map(user);
    let is_given = given.as_deref().is_some_and(|user| !user.is_empty());
    if status == "pending" {
        if given.is_some() {
            return Err(Error::invalid("`completed_by` must not be set when reopening an item to `pending`."));
        }
    } else if !is_given {
        return Err(Error::invalid(format!("`completed_by` is required when setting status to `{status}`.")));
    }
    let length = given.as_deref().map_or(0, |user| user.chars().count());
    if length > USER {
        return Err(Error::invalid(format!("`completed_by` must be at most {USER} characters; got {length}.")));
    }
    Ok(given)
}

/// The id of an item.
#[must_use]
pub fn item_id(id: &str) -> &str {
    python::strip(id)
}

fn check_text(field: &str, text: &str, most: usize) -> Result<()> {
    let length = text.chars().count();
    if length == 0 {
        return Err(Error::invalid(format!("`{field}` must be a non-empty string; got ''.")));
    }
    if length > most {
        return Err(Error::invalid(format!("`{field}` must be at most {most} characters; got {length}.")));
    }
    Ok(())
}

/// Texts in their normal form, checked, each once in the order of their first appearance.
fn each(texts: &[String], field: &str, most: usize, normal: impl Fn(&str) -> String) -> Result<Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for text in texts {
        let text = normal(text);
        check_text(field, &text, most)?;
        if seen.insert(text.clone()) {
            found.push(text);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn users_are_compared_without_case_and_each_is_kept_once() {
        assert_eq!(users(&texts(&[" Ann ", "bob", "ANN\u{1f}"])).unwrap(), ["ann", "bob"]);
        let many: Vec<String> = (0..11).map(|number| format!("u{number}")).collect();
        assert!(users(&many).unwrap_err().message.ends_with("at most 10 assigned users; got 11."));
        assert_eq!(users(&texts(&[" "])).unwrap_err().message, "`user` must be a non-empty string; got ''.");
        assert_eq!(item_ids(&texts(&["b", " a", "a "])).unwrap(), ["b", "a"]);
    }

    #[test]
    fn the_queue_of_a_user_is_that_users_alone() {
        let user = Some(ReviewQueueType::User);
        let queue = NewQueue::of(user, " Ann ", &[], &[]).unwrap();
        assert_eq!((queue.name.as_str(), queue.users), ("ann", texts(&["ann"])));
        assert!(NewQueue::of(user, "ann", &texts(&["ANN"]), &[]).is_ok());
        assert!(NewQueue::of(user, "ann", &texts(&["bob"]), &[]).is_err());
        assert!(NewQueue::of(user, "ann", &[], &texts(&["ls-1"])).is_err());
        assert!(NewQueue::of(user, "default", &[], &[]).is_ok());
        let custom = Some(ReviewQueueType::Custom);
        assert!(NewQueue::of(custom, " Default", &[], &[]).is_err());
        assert_eq!(NewQueue::of(custom, " Night ", &[], &[]).unwrap().name, "Night");
    }

    #[test]
    fn a_status_is_attributed_unless_it_is_pending() {
        assert_eq!(completed_by("complete", Some(" Ann ")).unwrap().as_deref(), Some("ann"));
        assert_eq!(completed_by("pending", None).unwrap(), None);
        for (status, user) in
            [("pending", Some("ann")), ("pending", Some("")), ("declined", None), ("declined", Some(" "))]
        {
            assert!(completed_by(status, user).is_err(), "{status} {user:?}");
        }
        assert!(completed_by("complete", Some(&"x".repeat(251))).is_err());
    }
}
