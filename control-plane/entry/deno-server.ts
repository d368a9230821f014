// The HTTP server on Deno. What is no HTTP at all is answered by the runtime itself, without a problem document.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { deno } from './deno-runtime.ts'
import type { HostServer, ListenOptions } from './hosted.ts'

export async function startDenoServer({ app, host, port, tls }: ListenOptions): Promise<HostServer> {
  const cutting = new AbortController()
  const listening = Promise.withResolvers<number>()
  const server = deno.serve(
    {
      hostname: host,
      port,
      signal: cutting.signal,
      ...(tls ? { cert: readFileSync(tls.certFile, 'utf8'), key: readFileSync(tls.keyFile, 'utf8') } : {}),
      onListen: (address) => listening.resolve(address.port),
    },
    (request) => app.fetch(request),
  )
  const boundPort = await listening.promise
  return {
    url: `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    async close(graceMs) {
      const closed = new AbortController()
      const served = server.shutdown().finally(() => closed.abort())
      // Who is left then does not read.
      await sleep(graceMs, undefined, { signal: closed.signal }).then(
        () => cutting.abort(),
        () => undefined,
      )
      await Promise.race([served, server.finished])
    },
  }
}
