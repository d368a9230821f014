// `npm run deploy:workers [-- --dry-run]`: bundles the control plane for Cloudflare Workers, refuses a bundle that would
// start slowly, and with more than --dry-run hands over to `wrangler deploy`, which needs your Cloudflare account.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleWorker } from './worker-bundle.ts'

/** Cloudflare takes 10 MB; one that small starts in a few milliseconds. */
const MAX_GZIP_BYTES = 2 ** 20

const args = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'dray-worker-'))
try {
  const { sizeBytes, gzipBytes } = await bundleWorker(folder)
  const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`
  console.log(`The bundle is ${kib(sizeBytes)}, ${kib(gzipBytes)} compressed.`)
  if (gzipBytes > MAX_GZIP_BYTES) throw new Error(`The bundle is larger than ${kib(MAX_GZIP_BYTES)} compressed.`)
  if (!args.includes('--dry-run')) process.exitCode = await deploy(args)
} finally {
  await rm(folder, { recursive: true, force: true })
}

function deploy(more: readonly string[]): Promise<number> {
  const child = spawn('wrangler', ['deploy', ...more], { stdio: 'inherit' })
  return new Promise((resolve, reject) => child.once('close', (code) => resolve(code ?? 1)).once('error', reject))
}
