// The control plane as one Deno process (deploy/deno has the task): NATS over TCP as on Node, because Deno's WebSocket
// client stalls; a file or a libSQL server as database. Its settings are in control-plane-config.ts.
import process from 'node:process'
import { createDenoPlatform } from './deno-platform.ts'
import { startDenoServer } from './deno-server.ts'
import { runOnHost } from './hosted.ts'

if (import.meta.main) {
  const code = await runOnHost({ platform: createDenoPlatform(), listen: startDenoServer }, process.env)
  process.exit(code)
}
