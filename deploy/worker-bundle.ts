// Bundles the control plane for workerd as `wrangler deploy` would, without asking Cloudflare anything.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'

const root = join(import.meta.dirname, '..')

export interface WorkerBundle {
  readonly file: string
  readonly sizeBytes: number
  readonly gzipBytes: number
}

/** Writes the bundle into `folder`. Throws with wrangler's own words where it cannot be made. */
export async function bundleWorker(folder: string): Promise<WorkerBundle> {
  await runWrangler(['deploy', '--dry-run', '--outdir', folder])
  const file = join(folder, 'workerd.js')
  const code = await readFile(file)
  return { file, sizeBytes: code.byteLength, gzipBytes: gzipSync(code).byteLength }
}

/** Its output; throws with it when wrangler fails. */
export async function runWrangler(args: readonly string[]): Promise<string> {
  const wrangler = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js')
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true' }
  const child = spawn(process.execPath, [wrangler, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit])
  if (code === 0) return out
  throw new Error(`wrangler ${args[0]} failed:\n${out}${err}`)
}
