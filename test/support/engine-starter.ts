// A process of its own that starts an engine, says so on stdout as one line of JSON, and stops it when stdin ends.
//
// Tests kill it to see what becomes of the engine: `node test/support/engine-starter.ts STATE_DIR`.

import { startEngine } from '../../deploy/engine.ts'

const stateDir = process.argv[2]
if (stateDir === undefined) throw new Error('usage: engine-starter.ts STATE_DIR')
const engine = await startEngine({ stateDir, network: 'isolated' })
const { pid, socketPath, network } = engine
console.log(JSON.stringify({ pid, socketPath, network }))
for await (const _ of process.stdin);
await engine.stop()
