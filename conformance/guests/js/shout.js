// SPDX-License-Identifier: Apache-2.0
//
// The operator of the scenario, for componentize-js and componentize-qjs alike: the
// latter has neither a console nor timers nor fetch. Setting
// "delay" makes it take that many milliseconds, "report" the address that it tells of
// each result.

import * as logger from 'wasm-graph:processor/logger@1.1.0';
import * as metrics from 'wasm-graph:processor/metrics@1.1.0';
import * as store from 'wasm-graph:processor/state-store@1.1.0';

// QuickJS has no TextEncoder; all that is encoded here is ASCII.
const encode = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const decode = (bytes) => String.fromCharCode(...bytes);

const KEY = encode('count');
const settings = new Map();

export const map = {
  init({ properties }) {
    for (const [key, value] of properties) settings.set(key, value);
    globalThis.console?.error(`shout: ${settings.size} settings`);
    logger.log('info', 'shout/map', `adding user property ${name()}`);
    return !settings.has('refuse');
  },

  process(data) {
    if (data.tag !== 'message') throw { message: 'Unexpected input type.' };
    const message = data.val;
    const payload = read(message.payload);
    if (payload.length === 0) throw { message: 'payload is empty' };

    message.payload = { tag: 'bytes', val: payload.map((b) => (b >= 0x61 && b <= 0x7a ? b - 0x20 : b)) };
    message.contentType = { tag: 'string', val: 'text/plain' };
    add(message.properties, name(), payload.length);
    add(message.properties, 'count', count());
    const one = typeof message.timestamp.counter === 'bigint' ? 1n : 1; // what u64 is, differs
    metrics.addToCounter('messages', { tag: 'u64', val: one }, [{ key: 'operator', value: 'shout' }]);

    const delay = Number(settings.get('delay') ?? 0);
    const report = settings.get('report');
    return delay || report ? detour(data, delay, report) : data;
  },
};

async function detour(data, delay, report) {
  if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
  if (report) await fetch(report, { method: 'POST', body: '{}' });
  return data;
}

// name returns that of the user property to add.
function name() {
  return settings.get('property') ?? 'length';
}

function add({ userProperties }, key, value) {
  userProperties.push([
    { tag: 'string', val: key },
    { tag: 'string', val: String(value) },
  ]);
}

// count counts in the state store, and returns how many messages there have been.
function count() {
  try {
    const { response } = store.get(KEY, undefined);
    const n = 1 + Number(response ? decode(response) : 0);
    const options = { conditions: 'unconditional', expires: undefined };
    store.set(KEY, encode(String(n)), undefined, undefined, options);
    return n;
  } catch (e) {
    throw { message: `state store: ${(e.payload ?? e).val}` };
  }
}

// read returns the bytes of a buffer-or-bytes.
function read({ tag, val }) {
  if (tag === 'bytes') return val;
  const bytes = val.read();
  val[Symbol.dispose]?.();
  return bytes;
}
