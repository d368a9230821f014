// The worker threads, as functions: one order at a time each, any number of orders over all of them.
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { BatchOrder, BatchResult } from './batch.ts'

export interface SimWorkers {
  readonly count: number
  /** Waits for a free worker. */
  run(order: BatchOrder): Promise<BatchResult>
  close(): Promise<void>
}

interface Message {
  readonly ready?: true
  readonly done?: number
  readonly result?: BatchResult
  readonly error?: string
}

// What a schedule makes lives until its end, so V8 learns to put it among the old objects at once; there it keeps all that
// it points to until the next major collection, schedule after schedule. Without that a schedule takes a quarter less time.
setFlagsFromString('--no-allocation-site-pretenuring')

export async function startWorkers(count: number): Promise<SimWorkers> {
  const workers = Array.from({ length: count }, () => new Worker(new URL('./worker.ts', import.meta.url)))
  await Promise.all(workers.map((worker) => answerOf(worker, ({ ready }) => ready)))
  const free = [...workers]
  const waiting: ((worker: Worker) => void)[] = []
  const release = (worker: Worker): void => {
    const next = waiting.shift()
    if (next) next(worker)
    else free.push(worker)
  }
  return {
    count,
    async run(order) {
      const worker = free.pop() ?? (await new Promise<Worker>((resolve) => waiting.push(resolve)))
      try {
        const answer = answerOf(worker, ({ result }) => result)
        worker.postMessage(order, [])
        return await answer
      } finally {
        release(worker)
      }
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/** The first message that has what is looked for; rejects with the worker's failure. */
function answerOf<T>(worker: Worker, pick: (message: Message) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      worker.off('message', onMessage)
      worker.off('error', onError)
    }
    const onError = (error: unknown): void => {
      settle()
      reject(error instanceof Error ? error : new Error(String(error)))
    }
    const onMessage = (message: Message): void => {
      if (message.error !== undefined) return onError(new Error(message.error))
      const found = pick(message)
      if (found === undefined) return
      settle()
      resolve(found)
    }
    worker.on('message', onMessage)
    worker.on('error', onError)
  })
}
