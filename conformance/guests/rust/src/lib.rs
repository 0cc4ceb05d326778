// SPDX-License-Identifier: Apache-2.0

//! A map operator that reverses the text of a message, and says in a user property
//! how long it is.

mod processor;

use processor::{DataModel, Error, Level, List, Property, Setting, Text, log};
use std::sync::OnceLock;

/// The user property to write, as setting "property" says.
static PROPERTY: OnceLock<String> = OnceLock::new();

fn init(settings: &[Setting]) -> bool {
    eprintln!("reverse: {} settings", settings.len());
    let wanted = settings.iter().find(|s| s.key.as_str() == "property");
    let name = wanted.map_or("characters", |s| s.value.as_str());
    log(Level::Info, "reverse/map", &format!("writing user property {name}"));
    PROPERTY.set(name.into()).is_ok()
}

fn process(mut data: DataModel) -> Result<DataModel, Error> {
    let DataModel::Message(message) = &mut data else {
        return Err("Unexpected input type.".into());
    };
    let payload = String::from_utf8(message.payload.read().into_vec())
        .map_err(|e| format!("payload is no text: {e}"))?;
    message.payload = payload.chars().rev().collect::<String>().into();
    message.content_type = Some(Text::from("text/plain".to_string())).into();

    let name = PROPERTY.get().ok_or("not initialized")?;
    let mut properties = std::mem::take(&mut message.user_properties).into_vec();
    properties.push(Property {
        key: name.clone().into(),
        value: payload.chars().count().to_string().into(),
    });
    message.user_properties = List::from(properties);
    Ok(data)
}
