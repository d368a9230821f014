// `npm run deploy:workers [-- --dry-run]`: bundles the control plane for Cloudflare Workers, refuses a bundle that is large or
// starts slowly, and without --dry-run hands over to `wrangler deploy`, which needs your Cloudflare account.

import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleWorker } from './worker-bundle.ts'
import { startupCpuMs } from './worker-startup.ts'

/** Cloudflare takes 10 MB; one that small starts in a few milliseconds. */
const MAX_GZIP_BYTES = 2 ** 20
/** Cloudflare gives a start one second of its own machines. */
const MAX_STARTUP_CPU_MS = 500

const args = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'dray-worker-'))
try {
  const { file, sizeBytes, gzipBytes } = await bundleWorker(folder)
  const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`
  console.log(`The bundle is ${kib(sizeBytes)}, ${kib(gzipBytes)} compressed.`)
  if (gzipBytes > MAX_GZIP_BYTES) throw new Error(`The bundle is larger than ${kib(MAX_GZIP_BYTES)} compressed.`)
  const cpuMs = await startupCpuMs(await readFile(file, 'utf8'))
  if (cpuMs === null) console.log('How long it takes to start is measured on Linux only.')
  else console.log(`It takes ${Math.round(cpuMs)} ms of this machine's processor to start.`)
  if (cpuMs !== null && cpuMs > MAX_STARTUP_CPU_MS)
    throw new Error(`The bundle takes more than ${MAX_STARTUP_CPU_MS} ms of processor time to start.`)
  if (!args.includes('--dry-run')) process.exitCode = await deploy(args)
} finally {
  await rm(folder, { recursive: true, force: true })
}

function deploy(more: readonly string[]): Promise<number> {
  const child = spawn('wrangler', ['deploy', ...more], { stdio: 'inherit' })
  return new Promise((resolve, reject) => child.once('close', (code) => resolve(code ?? 1)).once('error', reject))
}
