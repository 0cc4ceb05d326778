// SPDX-License-Identifier: Apache-2.0

//! The operator of the scenario, with the bindings of wit-bindgen.

use std::sync::OnceLock;

use exports::wasm_graph::processor::map::{DataModel, Error, Guest, ModuleConfiguration};
use wasm_graph::processor::logger::{self, Level};
use wasm_graph::processor::metrics::{self, CounterValue, Label};
use wasm_graph::processor::state_store::{self as store, SetOptions, StateStoreError};
use wasm_graph::processor::state_store_types::SetConditions;
use wasm_graph::processor::types::{BufferOrBytes, BufferOrString};

wit_bindgen::generate!({ path: "../../../wit/processor", world: "map-impl" });

struct Shout;

export!(Shout);

/// The user property to add.
static PROPERTY: OnceLock<String> = OnceLock::new();

impl Guest for Shout {
    fn init(configuration: ModuleConfiguration) -> bool {
        let settings = &configuration.properties;
        eprintln!("shout: {} settings", settings.len());
        let setting = |key| settings.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let property = setting("property").unwrap_or("length");
        logger::log(Level::Info, "shout/map", &format!("adding user property {property}"));
        PROPERTY.set(property.into()).is_ok() && setting("refuse").is_none()
    }

    fn process(data: DataModel) -> Result<DataModel, Error> {
        let DataModel::Message(mut message) = data else {
            return Err(error("Unexpected input type."));
        };
        let mut payload = match message.payload {
            BufferOrBytes::Bytes(bytes) => bytes,
            BufferOrBytes::Buffer(buffer) => buffer.read(),
        };
        if payload.is_empty() {
            return Err(error("payload is empty"));
        }
        payload.make_ascii_uppercase();

        let property = PROPERTY.get().ok_or_else(|| error("not initialized"))?;
        let mut add = |key: &str, value: String| {
            let pair = (BufferOrString::String(key.into()), BufferOrString::String(value));
            message.properties.user_properties.push(pair);
        };
        add(property, payload.len().to_string());
        add("count", count().map_err(|e| error(&format!("state store: {e:?}")))?.to_string());
        let labels = [Label { key: "operator".into(), value: "shout".into() }];
        metrics::add_to_counter("messages", CounterValue::U64(1), Some(&labels))
            .map_err(|e| error(&format!("metrics: {e:?}")))?;

        message.payload = BufferOrBytes::Bytes(payload);
        message.content_type = Some(BufferOrString::String("text/plain".into()));
        Ok(DataModel::Message(message))
    }
}

/// Counts in the state store, and returns how many messages there have been.
fn count() -> Result<u64, StateStoreError> {
    let last = store::get(b"count", None)?.response.unwrap_or_default();
    let n = 1 + String::from_utf8_lossy(&last).parse().unwrap_or(0);
    let options = SetOptions { conditions: SetConditions::Unconditional, expires: None };
    store::set(b"count", n.to_string().as_bytes(), None, None, options)?;
    Ok(n)
}

fn error(message: &str) -> Error {
    Error { message: message.into() }
}
