//! The rules of every call are those of the reference's handler, which `../fixtures/rules.json` has (see
//! `../fixtures/record_rules.py`).

use std::collections::BTreeMap;

use ferroflow_model::messages::RPCS;

#[test]
fn every_call_has_the_rules_of_the_reference() {
    type Rules = Vec<(String, Vec<String>)>;
    let mut theirs: BTreeMap<String, Rules> = serde_json::from_str(include_str!("../fixtures/rules.json")).unwrap();
    assert!(theirs.len() > 140);
    for rpc in RPCS {
        let ours: Rules = rpc
            .rules
            .iter()
            .map(|(name, checks)| ((*name).to_owned(), checks.iter().map(|check| format!("{check:?}")).collect()))
            .collect();
        assert_eq!(ours, theirs.remove(rpc.name).unwrap_or_default(), "{}", rpc.name);
    }
    assert!(theirs.is_empty(), "no call has the rules of {:?}", theirs.keys());
}

#[test]
fn every_rule_is_about_a_field() {
    for rpc in RPCS {
        for (name, _) in rpc.rules {
            assert!(rpc.fields.iter().any(|field| field.name == *name), "{} has no field {name}", rpc.name);
        }
    }
}
