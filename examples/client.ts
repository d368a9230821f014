// The TypeScript client: submit a workflow, watch it, take its result.
//
//   npm start                                        in one terminal
//   DRAY_URL=… DRAY_TOKEN=… node examples/client.ts  in another, with what npm start has printed

import { readFile } from 'node:fs/promises'
import { JobFailedError } from '../shared/client/api-error.ts'
import { createClient } from '../shared/client/create-client.ts'

const dray = createClient({ url: process.env['DRAY_URL'] ?? 'http://127.0.0.1:8700', token: process.env['DRAY_TOKEN'] })

const request = JSON.parse(await readFile(new URL('stream.json', import.meta.url), 'utf8'))
// With a key of your own the call can be repeated after a lost answer: it still makes one job.
const job = await dray.submit({ request, labels: { example: 'client' } }, { idempotencyKey: crypto.randomUUID() })
console.log(`job ${job.id}`)

// Everything it says, once, in order, over as many connections as it takes. Ends with the job.
for await (const update of dray.updates(job.id)) {
  if (update.type === 'output_update') console.log('output', update['value'])
  if (update.type === 'node_update') console.log('node', update['node_id'], update['status'])
}

try {
  console.log('result', await dray.result(job.id))
} catch (error) {
  if (!(error instanceof JobFailedError)) throw error
  console.error(`${error.message}. ${error.hint}`)
  process.exitCode = 1
}
