// A worker thread of the simulation: takes the clock over, then runs the batches that it is told.
import { parentPort } from 'node:worker_threads'
import type { BatchOrder } from './batch.ts'
import { installVirtualGlobals } from './virtual-globals.ts'

installVirtualGlobals()
const { runBatch } = await import('./batch.ts')
const { unhandledRejection } = await import('./schedule.ts')

process.on('unhandledRejection', unhandledRejection)
const tell = (message: object): void => parentPort?.postMessage(message, [])

parentPort?.on('message', (order: BatchOrder) => {
  runBatch(order, (done) => tell({ done })).then(
    (result) => tell({ result }),
    (error: unknown) => tell({ error: error instanceof Error ? String(error.stack) : String(error) }),
  )
})
tell({ ready: true })
