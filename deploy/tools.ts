// Where `deploy/setup.sh` puts the programs that it fetched, and where they are found again.
//
// A nats-server on PATH wins when it is new enough: agents can crash servers below 2.10.28 with one message.

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { tryCommand } from './engine-process.ts'

const oldestNats = [2, 10, 28]

/** The state folder that set-up uses: `DRAY_STATE`, else `.dray` beside package.json. */
export function defaultStateDir(env: Record<string, string | undefined> = process.env): string {
  return env['DRAY_STATE'] || join(import.meta.dirname, '..', '.dray')
}

export function toolPath(name: string, env: Record<string, string | undefined> = process.env): string {
  return join(defaultStateDir(env), 'tools', name)
}

/** The path of a nats-server that is new enough. Throws with the way out when there is none. */
export async function findNatsServer(env: Record<string, string | undefined> = process.env): Promise<string> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter(Boolean)
  for (const path of [...folders.map((folder) => join(folder, 'nats-server')), toolPath('nats-server', env)]) {
    if (existsSync(path) && isNewEnough(await tryCommand(path, ['--version']))) return path
  }
  throw new Error(`No nats-server ${oldestNats.join('.')} or newer is installed. Run "sh deploy/setup.sh start" first.`)
}

/** Reads "nats-server: v2.15.1"; a version with fewer or stranger parts is not new enough. */
function isNewEnough(version: string | undefined): boolean {
  const parts =
    /v?(\d+)\.(\d+)\.(\d+)/
      .exec(version ?? '')
      ?.slice(1)
      .map(Number) ?? []
  for (const [at, least] of oldestNats.entries()) {
    const part = parts[at] ?? -1
    if (part !== least) return part > least
  }
  return true
}
