// The node types that the stand-in knows.
//
// Those of `nodetool.workflows.test_helper` behave as the real ones do. Those of `dray.test_nodes` exist here only and make
// a runner meet what real nodes do to it: prints on stdout, raw bytes, numbers that JSON has not, suspension, slow streams.

import { setTimeout as sleep } from 'node:timers/promises'

/** Thrown by a node to end its workflow as suspended: a clean exit without a result. */
export class Suspended extends Error {}

const helpers = {
  StringInput: { isInput: true },
  IntInput: { isInput: true, property: 'default' },
  FloatInput: { isInput: true, property: 'default' },
  StringOutput: { isOutput: true },
  IntOutput: { isOutput: true },
  FormatText: {
    process: ({ template = 'Hello, {{ text }}', ...values }) => ({
      output: template.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => String(values[name] ?? '')),
    }),
  },
  PassThrough: { process: ({ value = null, prefix = '' }) => ({ output: prefix ? `${prefix}${value}` : value }) },
  StreamingOutputProcessor: {
    async *stream({ count = 3, base_value = 'value' }) {
      for (let number = 1; number <= count; number += 1) yield { result: `${base_value}_${number}` }
    },
  },
  ErrorProcessor: {
    process({ message = 'Test error' }) {
      throw new Error(message)
    },
  },
  SlowNode: {
    async process({ duration = 1 }) {
      await sleep(duration * 1000)
      return { output: duration }
    },
  },
}

const ours = {
  /** Prints its text, as a node's own print() would. */
  Print: {
    process({ text = '' }, { writeRaw }) {
      writeRaw(`${text}\n`)
      return { output: text }
    },
  },
  /** Writes raw bytes to stdout, without a newline of its own. */
  RawBytes: {
    process({ base64 = '' }, { writeRaw }) {
      writeRaw(Buffer.from(base64, 'base64'))
      return { output: null }
    },
  },
  Bytes: { process: ({ base64 = '' }) => ({ output: new Uint8Array(Buffer.from(base64, 'base64')) }) },
  Floats: { process: () => ({ output: [NaN, Infinity, -Infinity, 1.5] }) },
  Suspend: {
    process({ reason = 'Waiting for input' }) {
      throw new Suspended(reason)
    },
  },
  /** A stream that takes time and tells its progress: what a demo shows. */
  Ticker: {
    async *stream({ count = 5, interval = 0.2 }, { progress }) {
      for (let number = 1; number <= count; number += 1) {
        await sleep(interval * 1000)
        progress(number, count)
        yield { result: `tick ${number}` }
      }
    },
  },
}

const table = new Map([
  ...Object.entries(helpers).map(([name, type]) => [`nodetool.workflows.test_helper.${name}`, type]),
  ...Object.entries(ours).map(([name, type]) => [`dray.test_nodes.${name}`, type]),
])

export function nodeType(name) {
  return table.get(name)
}
