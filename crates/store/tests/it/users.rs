//! Users, roles and grants of the users database.

use ferroflow_model::{ErrorCode, Result, permission::DEFAULT_WORKSPACE};
use ferroflow_store::{Grant, UserStore};

use crate::support::on_each;

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorCode {
    outcome.unwrap_err().code
}

async fn grants(users: &UserStore, username: &str) -> Vec<String> {
    let account = users.account(username).await.unwrap().unwrap();
    let shown = |grant: Grant| format!("{} {} {}", grant.permission, grant.resource_type, grant.resource_pattern);
    let mut shown: Vec<String> = account.grants.into_iter().map(shown).collect();
    shown.sort();
    shown
}

on_each!(a_user_is_made_changed_and_deleted);
async fn a_user_is_made_changed_and_deleted(users: &UserStore) {
    let made = users.create_user("böb 雪", "hash", false).await.unwrap();
    assert_eq!(users.get_user("böb 雪").await.unwrap(), made);
    assert_eq!(code(users.create_user("böb 雪", "other", true).await), ErrorCode::ResourceAlreadyExists);
    for wrong in ["", "a:b", "a\0b", &"x".repeat(256)] {
        assert_eq!(code(users.create_user(wrong, "hash", false).await), ErrorCode::InvalidParameterValue);
    }
    users.set_password("böb 雪", "new").await.unwrap();
    users.set_admin("böb 雪", true).await.unwrap();
    let found = users.get_user("böb 雪").await.unwrap();
    assert_eq!((found.id, found.password_hash.as_str(), found.is_admin), (made.id, "new", true));
    users.delete_user("böb 雪").await.unwrap();
    assert_eq!(users.find_user("böb 雪").await.unwrap(), None);
    assert!(users.account("böb 雪").await.unwrap().is_none());
    for gone in [
        users.delete_user("böb 雪").await,
        users.set_password("böb 雪", "x").await,
        users.set_admin("böb 雪", true).await,
    ] {
        assert_eq!(code(gone), ErrorCode::ResourceDoesNotExist);
    }
}

on_each!(who_is_made_under_the_name_of_a_deleted_user_has_nothing_of_it);
async fn who_is_made_under_the_name_of_a_deleted_user_has_nothing_of_it(users: &UserStore) {
    users.create_user("u", "hash", true).await.unwrap();
    let role = users.create_role("r", "default", None).await.unwrap();
    users.add_role_permission(role.id, "experiment", "*", "READ").await.unwrap();
    users.assign_role(users.get_user("u").await.unwrap().id, role.id).await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("u", "experiment", "1", "MANAGE").await.unwrap();
    assert_eq!(grants(users, "u").await, ["MANAGE experiment 1", "READ experiment *"]);
    users.delete_user("u").await.unwrap();
    users.create_user("u", "hash", false).await.unwrap();
    assert!(grants(users, "u").await.is_empty());
    assert_eq!(users.list_role_users(role.id).await.unwrap(), []);
    // Its per-user role is deleted too.
    let names: Vec<String> = users.list_roles(None).await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["r"]);
}

on_each!(grants_are_added_changed_replaced_and_taken_back);
async fn grants_are_added_changed_replaced_and_taken_back(users: &UserStore) {
    users.create_user("u", "hash", false).await.unwrap();
    users.create_user("other", "hash", false).await.unwrap();
    users.grants(DEFAULT_WORKSPACE).add("u", "experiment", "1", "READ", "taken").await.unwrap();
    let taken = users.grants(DEFAULT_WORKSPACE).add("u", "experiment", "1", "EDIT", "taken").await.unwrap_err();
    assert_eq!((taken.code, taken.message.as_str()), (ErrorCode::ResourceAlreadyExists, "taken"));
    users.grants(DEFAULT_WORKSPACE).change("u", "experiment", "1", "EDIT", "missing").await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("u", "experiment", "2", "READ").await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("u", "experiment", "2", "DENY").await.unwrap();
    assert_eq!(grants(users, "u").await, ["DENY experiment 2", "EDIT experiment 1"]);
    assert!(grants(users, "other").await.is_empty());
    users.grants(DEFAULT_WORKSPACE).remove("u", "experiment", "1", "missing").await.unwrap();
    for gone in [
        users.grants(DEFAULT_WORKSPACE).remove("u", "experiment", "1", "missing").await,
        users.grants(DEFAULT_WORKSPACE).change("u", "experiment", "1", "READ", "missing").await,
        users.grants(DEFAULT_WORKSPACE).remove("other", "experiment", "2", "missing").await,
    ] {
        let error = gone.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::ResourceDoesNotExist, "missing"));
    }
    assert_eq!(
        code(users.grants(DEFAULT_WORKSPACE).set("nobody", "experiment", "1", "READ").await),
        ErrorCode::ResourceDoesNotExist
    );
    for (kind, pattern, permission) in
        [("experiment", "1", "ALL"), ("planet", "1", "READ"), ("run", "abc", "READ"), ("workspace", "*", "READ")]
    {
        assert_eq!(
            code(users.grants(DEFAULT_WORKSPACE).set("u", kind, pattern, permission).await),
            ErrorCode::InvalidParameterValue
        );
    }
    assert_eq!(grants(users, "u").await, ["DENY experiment 2"]);
}

on_each!(grants_follow_what_is_renamed_and_go_with_what_is_deleted);
async fn grants_follow_what_is_renamed_and_go_with_what_is_deleted(users: &UserStore) {
    users.create_user("u", "hash", false).await.unwrap();
    let role = users.create_role("r", "default", None).await.unwrap();
    users.add_role_permission(role.id, "registered_model", "old", "EDIT").await.unwrap();
    users.assign_role(users.get_user("u").await.unwrap().id, role.id).await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("u", "registered_model", "old", "MANAGE").await.unwrap();
    // A leftover grant of another model, and a grant of another type.
    users.grants(DEFAULT_WORKSPACE).set("u", "registered_model", "new", "READ").await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("u", "experiment", "old", "READ").await.unwrap();
    users.grants(DEFAULT_WORKSPACE).rename_all(&["registered_model", "prompt"], "old", "new").await.unwrap();
    let expected = ["EDIT registered_model old", "MANAGE registered_model new", "READ experiment old"];
    assert_eq!(grants(users, "u").await, expected);
    users.grants(DEFAULT_WORKSPACE).delete_all(&["registered_model", "prompt"], "new").await.unwrap();
    assert_eq!(grants(users, "u").await, ["EDIT registered_model old", "READ experiment old"]);
}

on_each!(a_role_is_made_changed_given_and_deleted);
async fn a_role_is_made_changed_given_and_deleted(users: &UserStore) {
    let user = users.create_user("u", "hash", false).await.unwrap();
    let role = users.create_role("makers", "default", Some("who make")).await.unwrap();
    assert_eq!(code(users.create_role("makers", "default", None).await), ErrorCode::ResourceAlreadyExists);
    // In another workspace it is a different role.
    let elsewhere = users.create_role("makers", "lab", None).await.unwrap();
    assert_eq!(code(users.create_role("__user_1__", "default", None).await), ErrorCode::InvalidParameterValue);
    assert_eq!(code(users.update_role(role.id, Some("__user_x"), None).await), ErrorCode::InvalidParameterValue);
    let renamed = users.update_role(role.id, Some("writers"), None).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.description.as_deref()), ("writers", Some("who make")));

    let allowed = users.add_role_permission(role.id, "experiment", "*", "EDIT").await.unwrap();
    let twice = users.add_role_permission(role.id, "experiment", "*", "READ").await;
    assert_eq!(code(twice), ErrorCode::ResourceAlreadyExists);
    users.add_role_permission(elsewhere.id, "experiment", "*", "MANAGE").await.unwrap();
    users.assign_role(user.id, role.id).await.unwrap();
    users.assign_role(user.id, elsewhere.id).await.unwrap();
    assert_eq!(code(users.assign_role(user.id, role.id).await), ErrorCode::ResourceAlreadyExists);
    assert_eq!(grants(users, "u").await, ["EDIT experiment *"]);
    assert_eq!(users.update_role_permission(allowed.id, "READ").await.unwrap().permission, "READ");
    assert_eq!(grants(users, "u").await, ["READ experiment *"]);
    let names: Vec<String> = users.list_user_roles(user.id).await.unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["writers", "makers"]);
    let listed = users.list_roles(Some(vec!["lab".into()])).await.unwrap();
    assert_eq!(listed.iter().map(|role| role.id).collect::<Vec<_>>(), [elsewhere.id]);
    assert_eq!(listed[0].permissions.len(), 1);

    users.unassign_role(user.id, elsewhere.id).await.unwrap();
    assert_eq!(code(users.unassign_role(user.id, elsewhere.id).await), ErrorCode::ResourceDoesNotExist);
    users.remove_role_permission(allowed.id).await.unwrap();
    assert!(grants(users, "u").await.is_empty());
    users.delete_role(role.id).await.unwrap();
    assert!(users.list_user_roles(user.id).await.unwrap().is_empty());
    for id in [role.id, -1, i64::MAX] {
        assert_eq!(code(users.get_role(id).await), ErrorCode::ResourceDoesNotExist);
        assert_eq!(code(users.delete_role(id).await), ErrorCode::ResourceDoesNotExist);
        assert_eq!(code(users.list_role_users(id).await), ErrorCode::ResourceDoesNotExist);
        assert_eq!(code(users.assign_role(user.id, id).await), ErrorCode::ResourceDoesNotExist);
        assert_eq!(code(users.remove_role_permission(id).await), ErrorCode::ResourceDoesNotExist);
    }
}

on_each!(everybody_is_listed_with_the_roles_that_each_has);
async fn everybody_is_listed_with_the_roles_that_each_has(users: &UserStore) {
    let one = users.create_user("one", "hash", true).await.unwrap();
    users.create_user("two", "hash", false).await.unwrap();
    let role = users.create_role("r", "default", None).await.unwrap();
    users.add_role_permission(role.id, "prompt", "*", "READ").await.unwrap();
    users.assign_role(one.id, role.id).await.unwrap();
    users.grants(DEFAULT_WORKSPACE).set("two", "experiment", "1", "READ").await.unwrap();
    let listed = users.list_users().await.unwrap();
    let shown: Vec<(String, Vec<usize>)> = listed
        .into_iter()
        .map(|(user, roles)| (user.username, roles.iter().map(|role| role.permissions.len()).collect()))
        .collect();
    assert_eq!(shown, [("one".to_owned(), vec![1]), ("two".to_owned(), vec![1])]);
}

on_each!(the_same_grant_by_many_at_once_is_one);
async fn the_same_grant_by_many_at_once_is_one(users: &UserStore) {
    let user = users.create_user("u", "hash", false).await.unwrap();
    let ids: Vec<String> = (0..8).map(|id| id.to_string()).collect();
    // The per-user role is created by the first of the concurrent transactions.
    let all = futures_util::future::join_all(
        ids.iter().chain(&ids).map(|id| users.grants(DEFAULT_WORKSPACE).set("u", "experiment", id, "READ")),
    );
    for done in all.await {
        done.unwrap();
    }
    assert_eq!(grants(users, "u").await.len(), 8);
    assert_eq!(users.list_user_roles(user.id).await.unwrap().len(), 1);
}
