// A disk that can lose its power: an ext4 image on a loop device, for one store. A power cut is the backing file as it was
// at one moment, without what the file system had not written to it yet: it is copied while the store's processes are
// stopped, and copied again if the kernel wrote to it meanwhile. It can also be filled up.
//
// It needs root and a mount namespace of its own (namespace.ts): whatever happens to the run, no mount is left.

import { execFile } from 'node:child_process'
import { mkdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

export interface Volume {
  readonly name: string
  readonly path: string
  /** The moment of the cut: keeps what the disk holds now. Its users must be stopped. */
  cut(): Promise<void>
  /** Back to what the cut kept. Its users must be gone. */
  restore(): Promise<void>
  fill(): Promise<void>
  free(): Promise<void>
  close(): Promise<void>
}

const run = promisify(execFile)
const COPY_TRIES = 8
/** A process that was killed may need a moment to let go of its files. */
const UNMOUNT_TRIES = 40

export async function openVolume(name: string, dir: string, sizeMiB: number): Promise<Volume> {
  const image = join(dir, `${name}.img`)
  const kept = `${image}.cut`
  const path = join(dir, name)
  const filler = join(path, 'filler')
  await mkdir(path, { recursive: true })
  await writeFile(image, '')
  await truncate(image, sizeMiB * 2 ** 20)
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1', image])
  const mount = (): Promise<unknown> => run('mount', ['-o', 'loop,noatime', image, path])
  await mount()
  return {
    name,
    path,
    async cut() {
      for (let tries = 1; ; tries += 1) {
        const before = await stat(image, { bigint: true })
        await run('cp', ['--sparse=always', image, kept])
        const after = await stat(image, { bigint: true })
        if (after.mtimeNs === before.mtimeNs) return
        if (tries === COPY_TRIES) throw new Error(`The kernel does not stop writing to volume "${name}"`)
      }
    },
    async restore() {
      await unmount(path)
      await rename(kept, image)
      await mount()
      await rm(filler, { force: true })
    },
    async fill() {
      const { stdout } = await run('df', ['--output=avail', '-B1', path])
      // Allocated, not written: the disk is full at once, and its image does not grow.
      await run('fallocate', ['-l', stdout.trim().split('\n').at(-1) ?? '0', filler]).catch(() => undefined)
    },
    free: () => rm(filler, { force: true }),
    close: () => unmount(path),
  }
}

async function unmount(path: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await run('umount', [path])
      return
    } catch (error) {
      if (tries === UNMOUNT_TRIES) throw error
    }
    await sleep(50)
  }
}
