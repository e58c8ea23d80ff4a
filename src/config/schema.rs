//! A JSON Schema of config files, for editors: made from the structs that read them.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::config::kinds::{Kind, STORAGES, TYPES};
use crate::config::raw;

/// Returns the JSON Schema of a main file; a file of `conf.d` is its `jobs`, or one of them.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let main = struct_schema::<raw::Main>(&mut generator);
    let main = anything_from_elsewhere(main);
    let store = anything_from_elsewhere(struct_schema::<raw::Store>(&mut generator));
    let common = struct_schema::<raw::Storage>(&mut generator);
    let local = struct_schema::<raw::LocalStorage>(&mut generator);
    let mut local = joined("storage", "local", &common, &local);
    local["properties"]["store"] = store;
    let named = json!({
        "description": "a storage of main.storage_connects",
        "type": "object",
        "required": ["storage_name"],
    });
    let storages = [local, named].into_iter().chain(later("storage", STORAGES));
    let storages = Value::from_iter(storages);
    let common = struct_schema::<raw::Source>(&mut generator);
    let files = struct_schema::<raw::FilesSource>(&mut generator);
    let sources = json!({ "desc_files": joined("", "", &common, &files) });
    let job = struct_schema::<raw::Job>(&mut generator);
    let jobs = sources.as_object().into_iter().flatten();
    let jobs = jobs.map(|(kind, source)| job_of(kind, &job, source, &storages));
    let jobs: Vec<Value> = jobs.chain(later("type", TYPES)).collect();
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

/// The schema of a job of one kind.
fn job_of(kind: &str, job: &Value, source: &Value, storages: &Value) -> Value {
    let mut job = anything_from_elsewhere(job.clone());
    job["properties"]["type"] = json!({ "const": kind });
    job["properties"]["sources"] = json!({ "type": "array", "items": source, "minItems": 1 });
    job["properties"]["storages"] =
        json!({ "type": "array", "items": { "anyOf": storages }, "minItems": 1 });
    job["required"] = json!(["job", "type", "sources"]);
    job
}

/// The schema of one struct, written out.
fn struct_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// One mapping that two structs read, as a schema.
fn joined(key: &str, word: &str, one: &Value, other: &Value) -> Value {
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
    let mut all = anything_from_elsewhere(all);
    if !key.is_empty() {
        all["properties"][key] = json!({ "const": word });
        if let Some(required) = all["required"].as_array_mut() {
            required.push(json!(key));
        }
    }
    all
}

/// Kinds that are known but not built: their keys are not described.
fn later(key: &str, kinds: &[Kind]) -> Vec<Value> {
    let words = kinds.iter().filter(|kind| !kind.built);
    let words: Vec<_> = words
        .flat_map(|kind| [kind.name].into_iter().chain(kind.aliases.iter().copied()))
        .collect();
    vec![json!({
        "description": "known, but not built in this version",
        "type": "object",
        "properties": { key: { "enum": words } },
        "required": [key],
    })]
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
