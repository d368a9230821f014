// Ports for the children: the wanted one, the one of the last run, or any that is free now.

import { createServer } from 'node:net'

export async function isFree(port: number, host: string): Promise<boolean> {
  return (await listen(port, host)) !== undefined
}

/** The last run's port when it is free, so that addresses survive a restart, else any. */
export async function freePort(last: number | undefined, host: string): Promise<number> {
  if (last !== undefined && (await isFree(last, host))) return last
  const port = await listen(0, host)
  if (port === undefined) throw new Error(`No port can be opened on ${host}`)
  return port
}

/** Opens and closes; resolves with the port that it was, or undefined where it cannot be had. */
function listen(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}
