// SPDX-License-Identifier: Apache-2.0
//
// A map operator that turns degrees Fahrenheit into degrees Celsius. Setting "delay"
// makes it take that many milliseconds, "report" the address that it tells of each
// result.

import { log } from 'wasm-graph:processor/logger@1.1.0';

const configuration = new Map();

export const map = {
  init({ properties }) {
    for (const [key, value] of properties) configuration.set(key, value);
    console.error(`celsius: ${configuration.size} settings`);
    log('info', 'celsius/map', `started at ${new Date().toISOString()}`);
    return true;
  },

  async process(data) {
    if (data.tag !== 'message') throw { message: 'Unexpected input type.' };
    const message = data.val;
    const measured = parse(text(message.payload));
    if (measured.temperature?.unit === 'F') {
      measured.temperature.value = ((measured.temperature.value - 32) * 5) / 9;
      measured.temperature.unit = 'C';
    }
    message.payload = { tag: 'bytes', val: new TextEncoder().encode(JSON.stringify(measured)) };
    message.contentType = { tag: 'string', val: 'application/json' };

    const delay = Number(configuration.get('delay') ?? 0);
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    const report = configuration.get('report');
    if (report) await fetch(report, { method: 'POST', body: JSON.stringify(measured) });
    return data;
  },
};

// text returns the text of a buffer-or-bytes.
function text({ tag, val }) {
  if (tag === 'bytes') return new TextDecoder().decode(val);
  const bytes = val.read();
  val[Symbol.dispose]?.();
  return new TextDecoder().decode(bytes);
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch (e) {
    throw { message: `payload is no JSON: ${e.message}` };
  }
}
