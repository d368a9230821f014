// The run happens in process, mount and network namespaces of its own, with a small init that reaps. When its first
// process ends, however it ends, the kernel ends every other and takes every mount and loop device with them; nothing can
// reach another network. What stays on disk is one folder, which the outer process removes.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const INNER = 'DRAY_CHAOS_DIR'
/** What the inner process has to end its engines in order. */
const ORDERLY_MS = 25_000
const LEASH_MS = 1_000

/** Runs this program again inside; resolves with its exit code. */
export async function runInside(program: string, args: readonly string[], keep: boolean): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'dray-chaos-'))
  const words = ['--mount', '--pid', '--net', '--propagation', 'private', '--fork', '--kill-child', '--mount-proc']
  const script = 'ip link set lo up && exec "$@"'
  const inner = ['sh', '-c', script, 'sh', process.execPath, program, ...args]
  // The kernel ends the first of them with us, however we end, and that one all the others.
  const command = ['--pdeathsig', 'KILL', '--', 'unshare', ...words, 'docker-init', '--', ...inner]
  const child = spawn('setpriv', command, {
    env: { ...process.env, [INNER]: dir },
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  let cutOff: NodeJS.Timeout | undefined
  const end = (): void => {
    // The end of its stdin asks the inner process to end in order; unshare itself passes no signal on.
    child.stdin.end()
    cutOff ??= setTimeout(() => child.kill('SIGKILL'), ORDERLY_MS)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  // Whoever started us was killed: nobody is there to read what we would say.
  const parent = process.ppid
  const leash = setInterval(() => (process.ppid === parent ? undefined : end()), LEASH_MS)
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', (error) =>
      reject(new Error(`Cannot make namespaces: ${error.message}. It takes root and Linux.`)),
    )
    child.once('exit', (exitCode) => resolve(exitCode ?? 1))
  })
  clearTimeout(cutOff)
  clearInterval(leash)
  child.stdin.destroy()
  if (!keep) await rm(dir, { recursive: true, force: true })
  return code
}
