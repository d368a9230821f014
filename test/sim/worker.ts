// A worker thread of the simulation: takes the clock over, then runs the batches that it is told.
import { parentPort } from 'node:worker_threads'
import type { BatchOrder } from './batch.ts'
import { installVirtualGlobals } from './virtual-globals.ts'

installVirtualGlobals()
const { runBatch } = await import('./batch.ts')
const { unhandledRejection } = await import('./schedule.ts')

process.on('unhandledRejection', unhandledRejection)
parentPort?.on('message', (order: BatchOrder) => {
  runBatch(order, (done) => parentPort?.postMessage({ done })).then(
    (result) => parentPort?.postMessage({ result }),
    (error: unknown) =>
      parentPort?.postMessage({ error: error instanceof Error ? String(error.stack) : String(error) }),
  )
})
parentPort?.postMessage({ ready: true })
