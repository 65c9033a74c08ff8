//! Other users of the database: Jobs that are scheduled, or started by hand.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::{
    api::{Api, CRON_JOBS, DEPLOYMENTS, NETWORK_POLICIES, TEMPLATES},
    release::{annotation, remove_annotation, retarget, set_annotation},
};

/// Suspends `gc`. It deletes artifacts of runs that are deleted in its database, and may not be in the other one.
pub(super) async fn suspend_gc(api: &Api, name: &str) -> Result<()> {
    let gc = format!("{name}-gc");
    if api.get(CRON_JOBS, &gc).await?.is_some() {
        api.change(CRON_JOBS, &gc, "it must not run while two databases refer to the artifacts", |gc| {
            suspend(gc);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Resumes `gc`.
pub(super) async fn resume_gc(api: &Api, name: &str) -> Result<()> {
    let gc = format!("{name}-gc");
    if api.get(CRON_JOBS, &gc).await?.is_some() {
        api.change(CRON_JOBS, &gc, "no recovery is running any more", |gc| {
            resume(gc);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Points the server and its Jobs to another cluster. Resumes `gc`.
pub(super) async fn retarget_all(api: &Api, name: &str, old: &str, new: &str) -> Result<()> {
    if api.get(NETWORK_POLICIES, name).await?.is_some() {
        api.change(NETWORK_POLICIES, name, &format!("connections to {new} are allowed"), |policy| {
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
        // OpenShift uses a Template instead.
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

/// Suspends an object unless it is suspended already, and records that for [`resume`].
pub(super) fn suspend(object: &mut Value) {
    if object["spec"]["suspend"] != true {
        // GitOps tools compare with the chart: `false` and an absent field differ.
        set_annotation(object, "suspended", if object["spec"]["suspend"] == false { "false" } else { "yes" });
        object["spec"]["suspend"] = json!(true);
    }
}

/// Reverts [`suspend`].
pub(super) fn resume(object: &mut Value) {
    if let Some(before) = annotation(object, "suspended").map(str::to_owned) {
        remove_annotation(object, "suspended");
        if before == "false" {
            object["spec"]["suspend"] = json!(false);
            return;
        }
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("suspend");
        }
    }
}
