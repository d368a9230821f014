// What an engine that died without a stop leaves in its folder, and its removal.
//
// dockerd refuses to start beside a pid file whose process id is taken, waits 15 s for a containerd that is only a zombie
// (pid 1 of a container may never reap it), and leaves its data folder mounted on itself. Containers of the dead engine are
// not touched here: the next dockerd finds them and ends them.

import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startTimeOf, tryCommand, waitForExit } from './engine-process.ts'

/** Makes the place fit for a start. A containerd that still runs for this place stays: dockerd takes it over. */
export async function clearContainerd(execRoot: string): Promise<void> {
  const pidFile = join(execRoot, 'containerd', 'containerd.pid')
  const pid = Number(readOr(pidFile, '0'))
  const isOurs = pid > 0 && readOr(`/proc/${pid}/cmdline`, '').includes(execRoot)
  // The kernel has sent it SIGTERM already; it needs a moment.
  if (!isOurs || (await waitForExit(pid, startTimeOf(pid), 3_000))) rmSync(pidFile, { force: true })
}

/** Takes away every mount below these folders, the deepest first. Only for an engine that no longer runs. */
export async function unmountBelow(folders: string[]): Promise<void> {
  const points = readOr('/proc/self/mountinfo', '')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))),
    )
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)))
  for (const point of points.toReversed()) await tryCommand('umount', ['--lazy', point])
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Not there: nothing was left.
    return otherwise
  }
}
