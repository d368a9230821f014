// A registry that accepts requests and never answers, inside the network namespace of the tests' engine: a pull that
// hangs for as long as a test wants. The engine takes any registry of 127.0.0.0/8 without TLS.
import { manageProcess } from './managed-process.ts'
import { eventually } from './eventually.ts'

const PROGRAM = `
const server = require('node:http').createServer(() => console.log('request'))
server.listen(0, '127.0.0.1', () => console.log('port=' + server.address().port))
process.stdin.resume().on('end', () => process.exit(0))
`

export interface StalledRegistry extends AsyncDisposable {
  /** "127.0.0.1:port", as the engine sees it. */
  readonly host: string
  /** How many requests have come. */
  requests(): number
}

export async function startStalledRegistry(enginePid: number): Promise<StalledRegistry> {
  const child = manageProcess({
    name: 'stalled registry',
    command: 'nsenter',
    // A fresh namespace has its loopback switched off.
    args: [
      `--net=/proc/${enginePid}/ns/net`,
      'sh',
      '-c',
      'ip link set lo up && exec "$0" -e "$1"',
      process.execPath,
      PROGRAM,
    ],
    env: { PATH: process.env['PATH'] ?? '' },
  })
  child.start()
  const portOf = (): string | false => /port=(\d+)/.exec(child.output())?.[1] ?? false
  const port = await eventually(portOf, { what: 'the registry listens' }).catch((error: unknown) => {
    throw new Error(child.output(), { cause: error })
  })
  return {
    host: `127.0.0.1:${String(port)}`,
    requests: () => child.output().split('request\n').length - 1,
    async [Symbol.asyncDispose]() {
      await child.stop()
    },
  }
}
