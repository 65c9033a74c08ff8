//! What uses the database beside the server: Jobs that run by themselves, or when somebody has them run.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::{
    api::{Api, CRON_JOBS, DEPLOYMENTS, NETWORK_POLICIES, TEMPLATES},
    release::{forget, remember, remembered, retarget},
};

/// Has `gc` wait. It deletes artifacts of runs that its database takes for deleted, and the other one may not.
pub(super) async fn hold(api: &Api, name: &str) -> Result<()> {
    let gc = format!("{name}-gc");
    if api.get(CRON_JOBS, &gc).await?.is_some() {
        api.change(CRON_JOBS, &gc, "it must not go by the one database while there is the other", |gc| {
            suspend(gc);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Has `gc` go on as before.
pub(super) async fn resume_gc(api: &Api, name: &str) -> Result<()> {
    let gc = format!("{name}-gc");
    if api.get(CRON_JOBS, &gc).await?.is_some() {
        api.change(CRON_JOBS, &gc, "it may go on", |gc| {
            resume(gc);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Has the server and its Jobs use another cluster. `gc` goes on.
pub(super) async fn follow(api: &Api, name: &str, old: &str, new: &str) -> Result<()> {
    if api.get(NETWORK_POLICIES, name).await?.is_some() {
        api.change(NETWORK_POLICIES, name, &format!("{new} is let through"), |policy| {
            let rules = policy.pointer_mut("/spec/egress").and_then(Value::as_array_mut).into_iter().flatten();
            for peer in rules.filter_map(|rule| rule.get_mut("to")?.as_array_mut()).flatten() {
                let cluster = peer.pointer_mut("/podSelector/matchLabels/cnpg.io~1cluster");
                if let Some(cluster) = cluster.filter(|cluster| **cluster == *old) {
                    *cluster = json!(new);
                }
            }
            Ok(())
        })
        .await?;
    }
    let users = [
        (DEPLOYMENTS, name.to_owned(), "spec"),
        (CRON_JOBS, format!("{name}-migrate"), "spec"),
        // In its place on OpenShift.
        (TEMPLATES, format!("{name}-migrate"), "objects"),
        (CRON_JOBS, format!("{name}-gc"), "spec"),
    ];
    for (kind, object, field) in users {
        if api.get(kind, &object).await?.is_none() {
            continue;
        }
        api.change(kind, &object, &format!("its database is {new}"), |object| {
            retarget(&mut object[field], old, new);
            if kind.plural == CRON_JOBS.plural {
                resume(object);
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Suspends something that is not suspended yet, so that [`resume`] knows.
pub(super) fn suspend(object: &mut Value) {
    if object["spec"]["suspend"] != true {
        remember(object, "suspended", "yes");
        object["spec"]["suspend"] = json!(true);
    }
}

/// Takes back what [`suspend`] did.
pub(super) fn resume(object: &mut Value) {
    if remembered(object, "suspended").is_some() {
        forget(object, "suspended");
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("suspend");
        }
    }
}
