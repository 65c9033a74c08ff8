//! Roles and grants of several workspaces in the users database.

use ferroflow_store::{Grant, Membership, Role, UserStore};

use crate::support::on_each;

/// What a user has in each workspace: its grants, and `+` for a role besides its own.
async fn memberships(users: &UserStore, username: &str) -> Vec<String> {
    let member = users.member(username).await.unwrap().unwrap();
    let shown = |grant: &Grant| format!("{} {} {}", grant.permission, grant.resource_type, grant.resource_pattern);
    let of = |(name, has): (String, Membership)| {
        let mut grants: Vec<String> = has.grants.iter().map(shown).collect();
        grants.sort();
        format!("{name}{}: {}", if has.has_shared_role { "+" } else { "" }, grants.join(", "))
    };
    member.workspaces.into_iter().map(of).collect()
}

async fn roles(users: &UserStore, workspace: &str) -> Vec<String> {
    let of = |role: Role| {
        let permissions = role.permissions.iter().map(|it| format!("{} {}", it.permission, it.resource_type));
        format!("{} ({})", role.name, permissions.collect::<Vec<_>>().join(", "))
    };
    users.list_roles(Some(vec![workspace.to_owned()])).await.unwrap().into_iter().map(of).collect()
}

on_each!(a_member_has_the_grants_of_each_workspace);
async fn a_member_has_the_grants_of_each_workspace(users: &UserStore) {
    let user = users.create_user("u", "hash", false).await.unwrap();
    assert_eq!(memberships(users, "u").await, [""; 0]);
    assert!(users.member("nobody").await.unwrap().is_none());
    users.grants("a").set("u", "experiment", "1", "EDIT").await.unwrap();
    users.grants("default").set("u", "experiment", "2", "READ").await.unwrap();
    for (workspace, kind) in [("a", Some("workspace")), ("b", None)] {
        let role = users.create_role("r", workspace, None).await.unwrap();
        if let Some(kind) = kind {
            users.add_role_permission(role.id, kind, "*", "USE").await.unwrap();
        }
        users.assign_role(user.id, role.id).await.unwrap();
    }
    users.grants("c").set("u", "run", "*", "READ").await.unwrap();
    users.grants("c").remove("u", "run", "*", "missing").await.unwrap();
    let expected =
        ["a+: EDIT experiment 1, USE workspace *", "b+: ", "c: ", "default: READ experiment 2"].map(str::to_owned);
    assert_eq!(memberships(users, "u").await, expected);
    // A server without workspaces sees those of the default one.
    let account = users.account("u").await.unwrap().unwrap();
    assert_eq!(account.grants.iter().map(|grant| grant.resource_pattern.as_str()).collect::<Vec<_>>(), ["2"]);
}

on_each!(grants_by_name_are_those_of_one_workspace);
async fn grants_by_name_are_those_of_one_workspace(users: &UserStore) {
    users.create_user("u", "hash", false).await.unwrap();
    let kinds = ["registered_model", "prompt"];
    for workspace in ["a", "b"] {
        for kind in kinds {
            users.grants(workspace).add("u", kind, "same", "EDIT", "taken").await.unwrap();
        }
    }
    let taken = users.grants("a").add("u", "prompt", "same", "READ", "taken").await.unwrap_err();
    assert_eq!(taken.message, "taken");
    users.grants("a").change("u", "prompt", "same", "READ", "missing").await.unwrap();
    users.grants("a").rename_all(&kinds, "same", "renamed").await.unwrap();
    let b = "b: EDIT prompt same, EDIT registered_model same".to_owned();
    let a = "a: EDIT registered_model renamed, READ prompt renamed".to_owned();
    assert_eq!(memberships(users, "u").await, [a, b.clone()]);
    users.grants("a").delete_all(&kinds, "same").await.unwrap();
    users.grants("a").delete_all(&kinds, "renamed").await.unwrap();
    assert_eq!(memberships(users, "u").await, ["a: ".to_owned(), b]);
    let missing = users.grants("a").remove("u", "prompt", "same", "missing").await.unwrap_err();
    assert_eq!(missing.message, "missing");
    users.delete_user("u").await.unwrap();
    assert!(roles(users, "a").await.is_empty() && roles(users, "b").await.is_empty());
}

on_each!(a_new_workspace_has_roles_and_a_deleted_one_has_none);
async fn a_new_workspace_has_roles_and_a_deleted_one_has_none(users: &UserStore) {
    let user = users.create_user("u", "hash", false).await.unwrap();
    // A role may be there before its workspace.
    let own = users.create_role("user", "a", Some("mine")).await.unwrap();
    users.seed_workspace_roles("a").await.unwrap();
    users.seed_workspace_roles("b").await.unwrap();
    assert_eq!(roles(users, "a").await, ["user ()", "admin (MANAGE workspace)"]);
    assert_eq!(roles(users, "b").await, ["admin (MANAGE workspace)", "user (USE workspace)"]);
    users.seed_workspace_roles("b").await.unwrap();
    assert_eq!(roles(users, "b").await.len(), 2);
    users.assign_role(user.id, own.id).await.unwrap();
    for workspace in ["a", "b"] {
        users.grants(workspace).set("u", "prompt", "p", "READ").await.unwrap();
    }
    users.mark_workspace_deletion("a").await.unwrap();
    users.delete_workspace_roles("a").await.unwrap();
    assert!(roles(users, "a").await.is_empty());
    assert_eq!(memberships(users, "u").await, ["b: READ prompt p"]);
}

on_each!(an_interrupted_deletion_leaves_no_roles_to_a_new_workspace);
async fn an_interrupted_deletion_leaves_no_roles_to_a_new_workspace(users: &UserStore) {
    let user = users.create_user("u", "hash", false).await.unwrap();
    for workspace in ["gone", "kept", "new"] {
        let role = users.create_role("r", workspace, None).await.unwrap();
        users.assign_role(user.id, role.id).await.unwrap();
    }
    // The server stops between the two databases.
    assert!(users.mark_workspace_deletion("gone").await.unwrap());
    assert!(!users.mark_workspace_deletion("gone").await.unwrap());
    // Another workspace was not deleted, since it has something.
    users.mark_workspace_deletion("kept").await.unwrap();
    users.unmark_workspace_deletion("kept").await.unwrap();
    for workspace in ["gone", "kept", "new"] {
        users.finish_workspace_deletion(workspace).await.unwrap();
    }
    assert_eq!(memberships(users, "u").await, ["kept+: ", "new+: "]);
    assert!(roles(users, "gone").await.is_empty());
}
