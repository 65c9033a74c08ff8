//! Token users: created on first use, with the roles that the token grants.

use ferroflow_model::ErrorCode;
use ferroflow_store::{TokenRole, TokenUser, UserStore, token_mark};

use crate::support::on_each;

fn token(username: &str, roles: &[&str]) -> TokenUser {
    TokenUser {
        username: username.into(),
        mark: token_mark("owner"),
        links: false,
        is_admin: None,
        roles: roles.iter().map(|role| TokenRole::of_default_workspace(role)).collect(),
        governed: ["makers", "readers"].map(TokenRole::of_default_workspace).to_vec(),
    }
}

async fn roles(users: &UserStore, username: &str) -> Vec<String> {
    let user = users.get_user(username).await.unwrap();
    let mut names: Vec<String> =
        users.list_user_roles(user.id).await.unwrap().into_iter().map(|role| role.name).collect();
    names.sort();
    names
}

on_each!(a_user_is_made_once_and_has_the_roles_of_the_last_token);
async fn a_user_is_made_once_and_has_the_roles_of_the_last_token(users: &UserStore) {
    let made = users.admit(&token("u", &["makers"])).await.unwrap();
    assert!(!made.is_admin);
    assert_eq!(roles(users, "u").await, ["makers"]);
    let by_hand = users.create_role("by hand", "default", None).await.unwrap();
    users.assign_role(made.id, by_hand.id).await.unwrap();
    assert_eq!(users.admit(&token("u", &["readers"])).await.unwrap(), made);
    assert_eq!(roles(users, "u").await, ["by hand", "readers"]);
    users.admit(&token("u", &[])).await.unwrap();
    assert_eq!(roles(users, "u").await, ["by hand"]);
}

on_each!(a_role_that_is_there_is_given_as_it_is);
async fn a_role_that_is_there_is_given_as_it_is(users: &UserStore) {
    let role = users.create_role("makers", "default", None).await.unwrap();
    users.add_role_permission(role.id, "experiment", "*", "EDIT").await.unwrap();
    users.create_role("makers", "lab", None).await.unwrap();
    users.admit(&token("u", &["makers"])).await.unwrap();
    assert_eq!(users.account("u").await.unwrap().unwrap().grants.len(), 1);
    assert_eq!(roles(users, "u").await, ["makers"]);
}

on_each!(a_role_is_one_of_its_workspace);
async fn a_role_is_one_of_its_workspace(users: &UserStore) {
    let of_lab = || TokenRole { workspace: "lab".into(), name: "makers".into() };
    let both = |roles: Vec<TokenRole>| TokenUser {
        roles,
        governed: vec![TokenRole::of_default_workspace("makers"), of_lab()],
        ..token("u", &[])
    };
    let id = users.admit(&both(vec![of_lab()])).await.unwrap().id;
    let workspaces = async || {
        let own = users.list_user_roles(id).await.unwrap();
        own.into_iter().map(|role| role.workspace).collect::<Vec<_>>()
    };
    assert_eq!(workspaces().await, ["lab"]);
    users.admit(&both(vec![TokenRole::of_default_workspace("makers")])).await.unwrap();
    assert_eq!(workspaces().await, ["default"]);
    users.admit(&both(vec![])).await.unwrap();
    assert!(workspaces().await.is_empty());
}

on_each!(a_name_that_is_somebody_elses_is_refused);
async fn a_name_that_is_somebody_elses_is_refused(users: &UserStore) {
    users.create_user("local", "hash", false).await.unwrap();
    users.admit(&token("u", &[])).await.unwrap();
    let other = TokenUser { mark: token_mark("another owner"), links: true, ..token("u", &["makers"]) };
    assert_eq!(users.admit(&other).await.unwrap_err().code, ErrorCode::PermissionDenied);
    let local = users.admit(&token("local", &["makers"])).await;
    assert_eq!(local.unwrap_err().code, ErrorCode::PermissionDenied);
    assert!(roles(users, "local").await.is_empty() && roles(users, "u").await.is_empty());
}

on_each!(a_linked_user_keeps_password_and_rank);
async fn a_linked_user_keeps_password_and_rank(users: &UserStore) {
    users.create_user("local", "hash", false).await.unwrap();
    users.create_user("root", "hash", true).await.unwrap();
    let linked = |name, is_admin| TokenUser { links: true, is_admin, ..token(name, &["makers"]) };
    for is_admin in [None, Some(false), Some(true)] {
        let found = users.admit(&linked("local", is_admin)).await.unwrap();
        assert_eq!((found.password_hash.as_str(), found.is_admin), ("hash", false));
    }
    assert_eq!(roles(users, "local").await, ["makers"]);
    for is_admin in [None, Some(false)] {
        let refused = users.admit(&linked("root", is_admin)).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::PermissionDenied);
    }
    assert!(users.admit(&linked("root", Some(true))).await.unwrap().is_admin);
}

on_each!(only_tokens_that_speak_of_admins_make_and_unmake_them);
async fn only_tokens_that_speak_of_admins_make_and_unmake_them(users: &UserStore) {
    let said = |is_admin| TokenUser { is_admin, ..token("u", &[]) };
    assert!(!users.admit(&said(None)).await.unwrap().is_admin);
    users.set_admin("u", true).await.unwrap();
    assert!(users.admit(&said(None)).await.unwrap().is_admin);
    assert!(!users.admit(&said(Some(false))).await.unwrap().is_admin);
    assert!(users.admit(&said(Some(true))).await.unwrap().is_admin);
    assert!(users.get_user("u").await.unwrap().is_admin);
}

on_each!(many_tokens_of_somebody_new_make_one_user);
async fn many_tokens_of_somebody_new_make_one_user(users: &UserStore) {
    let token = token("u", &["makers", "readers"]);
    let all = futures_util::future::join_all((0..8).map(|_| users.admit(&token)));
    let ids: Vec<i64> = all.await.into_iter().map(|user| user.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(roles(users, "u").await, ["makers", "readers"]);
}
