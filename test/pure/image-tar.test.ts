// The tar writer's bytes are what image ids depend on: a real tar must read them, and nothing of the machine may be in them.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tarBytes, tarSizeBytes, type TarEntry } from '../../deploy/image-tar.ts'

async function archiveOf(entries: TarEntry[]): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of tarBytes(entries)) parts.push(part)
  return Buffer.concat(parts)
}

test('tarBytes() writes what tar reads, as long as announced', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dray-tar-'))
  const source = join(folder, 'source')
  writeFileSync(source, 'x'.repeat(1000))
  const entries: TarEntry[] = [
    { path: 'tmp', kind: 'directory', mode: 0o1777 },
    { path: 'tmp/text', kind: 'file', content: 'grüße' },
    { path: 'tmp/program', kind: 'file', mode: 0o755, source },
    { path: 'tmp/link', kind: 'link', target: 'program' },
  ]
  const archive = await archiveOf(entries)
  const list = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--utc', '--file', '-'], {
    input: archive,
  })
  const announcedBytes = tarSizeBytes(entries)
  rmSync(folder, { recursive: true })
  const lines = list.toString().trim().split('\n')
  expect(lines.map((line) => line.replace(/\s+/g, ' '))).toEqual([
    'drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/',
    '-rw-r--r-- 0/0 7 1970-01-01 00:00 tmp/text',
    '-rwxr-xr-x 0/0 1000 1970-01-01 00:00 tmp/program',
    'lrwxrwxrwx 0/0 0 1970-01-01 00:00 tmp/link -> program',
  ])
  expect(archive).toHaveLength(announcedBytes)
})

test('tarBytes() cuts long names where tar puts them together again, and refuses what cannot be cut', async () => {
  const paths = [99, 100, 150, 220, 250].map((length) => `${'ab/'.repeat(length)}c`.slice(-length).replace(/^\//, 'c'))
  const archive = await archiveOf(paths.map((path) => ({ path, kind: 'file', content: '' })))
  expect(execFileSync('tar', ['--list', '--file', '-'], { input: archive }).toString().trim().split('\n')).toEqual(
    paths,
  )
  await expect(archiveOf([{ path: 'b'.repeat(100), kind: 'file', content: '' }])).rejects.toThrow('too long')
})

test('tarBytes() refuses a file whose size is not the announced one', async () => {
  const stream = async function* () {
    yield Buffer.from('four')
  }
  await expect(archiveOf([{ path: 'a', kind: 'file', sizeBytes: 5, stream }])).rejects.toThrow('4 bytes, 5')
})
