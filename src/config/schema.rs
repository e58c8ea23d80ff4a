//! A JSON Schema of config files, for editors: made from the structs that read them.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::base::Plugin;
use crate::config::{kinds, raw};

/// Returns the JSON Schema of a main file; a file of `conf.d` is its `jobs`, or one of them.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let main = struct_schema::<raw::Main>(&mut generator);
    let mut main = anything_from_elsewhere(main);
    main["properties"]["notify"] = notify_schema(&mut generator);
    let store = anything_from_elsewhere(struct_schema::<raw::Store>(&mut generator));
    let common = struct_schema::<raw::Storage>(&mut generator);
    let kinds = kinds::storages();
    let mut storages: Vec<Value> = Vec::new();
    for kind in &kinds {
        let own = own_schema(kind, &mut generator);
        let mut storage = joined(&common, &own);
        storage["properties"]["store"] = store.clone();
        choose("storage", kind, &mut storage);
        storages.push(storage);
    }
    storages.push(json!({
        "description": "a storage of main.storage_connects",
        "type": "object",
        "required": ["storage_name"],
    }));
    let common = struct_schema::<raw::Source>(&mut generator);
    let job = struct_schema::<raw::Job>(&mut generator);
    let kinds = kinds::types();
    let mut jobs: Vec<Value> = Vec::new();
    for kind in &kinds {
        let own = own_schema(kind, &mut generator);
        jobs.push(job_of(kind, &job, &common, &own, &storages));
    }
    jobs.push(json!({
        "description": "a job of main.templates",
        "type": "object",
        "required": ["template"],
    }));
    let definitions: Map<String, Value> = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nxs-backup",
        "type": "object",
        "properties": { "main": main, "jobs": { "type": "array", "items": { "anyOf": jobs } } },
        "required": ["main", "jobs"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema of `main.notify`.
fn notify_schema(generator: &mut SchemaGenerator) -> Value {
    let common = struct_schema::<raw::Notify>(generator);
    let mut entries = Vec::new();
    for kind in kinds::notifiers() {
        let own = own_schema(kind, generator);
        let mut entry = joined(&common, &own);
        choose("kind", kind, &mut entry);
        entries.push(entry);
    }
    json!({ "type": "array", "items": { "anyOf": entries } })
}

/// Returns the keys of a kind that have a plain default, with it as people write it.
pub(crate) fn defaults(kind: &Plugin) -> Vec<(String, String)> {
    let own = own_schema(kind, &mut SchemaGenerator::default());
    let properties = own["properties"].as_object().into_iter().flatten();
    let word = |value: &Value| match value {
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    properties.filter_map(|(key, about)| Some((key.clone(), word(&about["default"])?))).collect()
}

/// The schema of a job of one kind.
fn job_of(kind: &Plugin, job: &Value, source: &Value, own: &Value, storages: &[Value]) -> Value {
    let mut all = if kind.on_job { joined(job, own) } else { anything_from_elsewhere(job.clone()) };
    match all["properties"].as_object_mut() {
        Some(keys) if kind.on_job => drop(keys.shift_remove("sources")),
        _ => {
            let source = joined(source, own);
            all["properties"]["sources"] =
                json!({ "type": "array", "items": source, "minItems": 1 });
            all["required"] = json!(["sources"]);
        }
    }
    all["properties"]["storages"] =
        json!({ "type": "array", "items": { "anyOf": storages }, "minItems": 1 });
    if let Some(required) = all["required"].as_array_mut() {
        required.push(json!("job"));
    }
    choose("type", kind, &mut all);
    all
}

/// Demands that `key` of `schema` names `kind`.
fn choose(key: &str, kind: &Plugin, schema: &mut Value) {
    let words: Vec<&str> = kind.words().collect();
    schema["properties"][key] = match words.as_slice() {
        [word] => json!({ "const": word }),
        words => json!({ "enum": words }),
    };
    if let Some(required) = schema["required"].as_array_mut() {
        required.push(json!(key));
    }
}

/// The schema of the keys of a kind.
fn own_schema(kind: &Plugin, generator: &mut SchemaGenerator) -> Value {
    (kind.schema)(generator).to_value()
}

/// The schema of one struct, written out.
fn struct_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// One mapping that two structs read, as a schema.
fn joined(one: &Value, other: &Value) -> Value {
    let mut all = one.clone();
    let own = other["properties"].as_object().cloned().unwrap_or_default();
    if let Some(properties) = all["properties"].as_object_mut() {
        properties.extend(own);
    }
    all["description"] = other["description"].clone();
    all["required"] = other["required"].clone();
    if other["required"].is_null() {
        all["required"] = json!([]);
    }
    anything_from_elsewhere(all)
}

/// Lets every property also be what the loader is lenient about: a number, a boolean or a list
/// written as text, nothing at all, one value for a list of one.
fn anything_from_elsewhere(mut schema: Value) -> Value {
    let Some(properties) = schema["properties"].as_object_mut() else { return schema };
    for property in properties.values_mut() {
        let strict = property.take();
        let about = strict.get("description").cloned();
        let mut open = json!({ "anyOf": [strict, { "type": ["string", "null"] }] });
        if let Some(about) = about {
            open["description"] = about;
        }
        *property = open;
    }
    schema
}
