# SPDX-License-Identifier: Apache-2.0
"""The operator of the scenario, for componentize-py."""

import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import logger, metrics, state_store as store
from wit_world.imports.metrics import CounterValue_U64, Label
from wit_world.imports.state_store_types import SetConditions, SetOptions
from wit_world.imports.types import (
    BufferOrBytes,
    BufferOrBytes_Buffer,
    BufferOrBytes_Bytes,
    BufferOrString_String,
    DataModel,
    DataModel_Message,
    Error,
    ModuleConfiguration,
)

KEY = b"count"
settings: dict[str, str] = {}


class Map(exports.Map):
    def init(self, configuration: ModuleConfiguration) -> bool:
        settings.update(configuration.properties)
        print(f"shout: {len(settings)} settings", file=sys.stderr, flush=True)
        logger.log(logger.Level.INFO, "shout/map", f"adding user property {name()}")
        return "refuse" not in settings

    def process(self, message: DataModel) -> DataModel:
        if not isinstance(message, DataModel_Message):
            raise Err(Error("Unexpected input type."))
        m = message.value
        payload = read(m.payload)
        if not payload:
            raise Err(Error("payload is empty"))

        m.payload = BufferOrBytes_Bytes(payload.upper())  # of bytes: ASCII only
        m.content_type = BufferOrString_String("text/plain")
        for key, value in ((name(), len(payload)), ("count", count())):
            pair = BufferOrString_String(key), BufferOrString_String(str(value))
            m.properties.user_properties.append(pair)
        metrics.add_to_counter("messages", CounterValue_U64(1), [Label("operator", "shout")])
        return message


def name() -> str:
    """Returns that of the user property to add."""
    return settings.get("property", "length")


def count() -> int:
    """Counts in the state store, and returns how many messages there have been."""
    try:
        n = 1 + int(store.get(KEY, None).response or b"0")
        store.set(KEY, str(n).encode(), None, None, SetOptions(SetConditions.UNCONDITIONAL, None))
        return n
    except Err as e:
        raise Err(Error(f"state store: {getattr(e.value, 'value', e.value)}"))


def read(payload: BufferOrBytes) -> bytes:
    if isinstance(payload, BufferOrBytes_Buffer):
        with payload.value as buffer:
            return buffer.read()
    return payload.value
