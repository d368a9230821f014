// Where the parts of a stack will be: ports, addresses, the key. Decided once, before anything is started, so that a part
// that is started again is found where it was.

import { freePort, isFree } from './ports.ts'
import type { StateFolder } from './state-folder.ts'

/** What the parts need to know of each other. */
export interface StackPlan {
  readonly folder: StateFolder
  readonly host: string
  readonly httpPort: number
  readonly natsPort: number
  /** Where clients and the agent reach them. */
  readonly url: string
  readonly natsUrl: string
  readonly token: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface PlanOptions {
  /** 0: the last run's when it is free, else any. */
  readonly port: number
  readonly host: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Rejects when the wanted port is taken. */
export async function makePlan(options: PlanOptions, folder: StateFolder): Promise<StackPlan> {
  const last = folder.readPorts()
  const { host } = options
  if (options.port !== 0 && !(await isFree(options.port, host))) {
    throw new Error(`Port ${options.port} is in use on ${host}. Give another one with --port, or 0 for any.`)
  }
  const httpPort = options.port !== 0 ? options.port : await freePort(last['http'], host)
  const natsPort = await freePort(last['nats'], host)
  folder.writePorts({ http: httpPort, nats: natsPort })
  const shownHost = host === '0.0.0.0' ? '127.0.0.1' : host
  return {
    folder,
    host,
    httpPort,
    natsPort,
    url: `http://${shownHost}:${httpPort}`,
    natsUrl: `nats://${shownHost}:${natsPort}`,
    token: folder.adminToken(),
    env: options.env,
  }
}
