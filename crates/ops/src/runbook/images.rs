//! The objects of a release that have the server's image.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    api::{Api, CRON_JOBS, DEPLOYMENTS, TEMPLATES, text},
    release::Release,
};

/// Replaces an image in the server and in all objects of its release that have the same image: the migration (a `CronJob`
/// or OpenShift's Template), `gc`, and the drill.
pub(super) async fn replace(api: &Api, release: &Release, old: &str, new: &str) -> Result<()> {
    let why = format!("its image is {new}");
    let name = release.name.as_str();
    // The server last: a runbook that continues decides by the server's image.
    let instance = text(&release.deployment, "/metadata/labels/app.kubernetes.io~1instance");
    let labels = format!("app.kubernetes.io/instance={}", if instance.is_empty() { name } else { instance });
    for (kind, field) in [(CRON_JOBS, "spec"), (TEMPLATES, "objects")] {
        for object in api.list(kind, &labels).await?.iter().filter(|object| has_image(&object[field], old)) {
            api.change(kind, text(object, "/metadata/name"), &why, |object| {
                exchange(&mut object[field], old, new);
                Ok(())
            })
            .await?;
        }
    }
    let server = |deployment: &mut Value| {
        exchange(&mut deployment["spec"]["template"]["spec"], old, new);
        Ok(())
    };
    api.change(DEPLOYMENTS, name, &why, server).await.map(drop)
}

/// Returns whether a container in it has this image.
fn has_image(part: &Value, image: &str) -> bool {
    match part {
        Value::Array(items) => items.iter().any(|item| has_image(item, image)),
        Value::Object(fields) => {
            fields.iter().any(|(key, value)| (key == "image" && value == image) || has_image(value, image))
        }
        _ => false,
    }
}

fn exchange(part: &mut Value, old: &str, new: &str) {
    match part {
        Value::Array(items) => items.iter_mut().for_each(|item| exchange(item, old, new)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "image" && *value == *old {
                    *value = json!(new);
                } else {
                    exchange(value, old, new);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_image_is_replaced_at_any_depth() {
        let mut spec =
            json!({"initContainers": [{"image": "a:1"}], "containers": [{"image": "a:1"}, {"image": "a:10"}]});
        assert!(has_image(&spec, "a:1") && !has_image(&spec, "a"));
        exchange(&mut spec, "a:1", "a:2");
        assert_eq!(
            spec,
            json!({"initContainers": [{"image": "a:2"}], "containers": [{"image": "a:2"}, {"image": "a:10"}]})
        );
    }
}
