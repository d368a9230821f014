// Everything that a container says reaches the client: once, in order, byte for byte.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { assertContiguous, outputOf, runToEnd, shell, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')
const MIB = 2 ** 20

describe('output', () => {
  it('keeps stdout and stderr apart', async () => {
    const { updates } = await runToEnd(
      stack.client,
      shell(image, 'echo out; echo err >&2; printf tail; printf end >&2'),
    )
    expect(outputOf(updates, 'stdout').toString()).toBe('out\ntail')
    expect(outputOf(updates, 'stderr').toString()).toBe('err\nend')
  })

  it('gives back 5 MiB of stdin byte for byte', async () => {
    const line = 'x'.repeat(1023)
    const stdin = `${line}\n`.repeat(5 * 1024)
    const { updates, terminal } = await runToEnd(stack.client, { ...shell(image, 'cat'), stdin })
    expect(terminal.status).toBe('completed')
    expect(outputOf(updates, 'stdout').equals(Buffer.from(stdin))).toBe(true)
  })

  it('gives back binary stdin given as base64', async () => {
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) % 256))
    const { updates } = await runToEnd(stack.client, {
      ...shell(image, 'cat'),
      stdin: { base64: bytes.toString('base64') },
    })
    expect(outputOf(updates, 'stdout').equals(bytes)).toBe(true)
  })

  it('carries 64 MiB whole', async () => {
    const { updates, terminal, gaps } = await runToEnd(
      stack.client,
      shell(image, `yes ${'y'.repeat(1023)} | head -c ${64 * MIB}`),
    )
    expect(terminal.status).toBe('completed')
    expect(gaps).toEqual([])
    assertContiguous(updates)
    const output = outputOf(updates, 'stdout')
    expect(output.length).toBe(64 * MIB)
    expect(output.equals(Buffer.from(`${'y'.repeat(1023)}\n`.repeat(64 * 1024)))).toBe(true)
  }, 120_000)

  it('carries a line of 20 MiB in pieces of at most 8 MiB, followed by one warning', async () => {
    const { updates } = await runToEnd(
      stack.client,
      shell(image, `head -c ${20 * MIB} /dev/zero | tr '\\0' z; echo; echo after`),
    )
    assertContiguous(updates)
    expect(outputOf(updates, 'stdout').equals(Buffer.from(`${'z'.repeat(20 * MIB)}\nafter\n`))).toBe(true)
    const pieces = updates.filter(
      (update) => update['stream'] === 'stdout' && String(update['content']).startsWith('z'),
    )
    expect(pieces.length).toBeGreaterThanOrEqual(3)
    for (const piece of pieces) expect(String(piece['content']).length).toBeLessThanOrEqual(8 * MIB)
    expect(pieces.slice(0, -1).every((piece) => piece['eol'] === false)).toBe(true)
    const warnings = updates.filter(
      (update) => update.type === 'log_update' && update['severity'] === 'warning' && !('stream' in update),
    )
    expect(warnings).toHaveLength(1)
  }, 60_000)

  it('gives a last line without a newline that is longer than a piece back without one', async () => {
    const { updates } = await runToEnd(stack.client, shell(image, `head -c ${9 * MIB} /dev/zero | tr '\\0' x`))
    expect(outputOf(updates, 'stdout').equals(Buffer.from('x'.repeat(9 * MIB)))).toBe(true)
  }, 60_000)

  it('decodes UTF-8 across frames, and marks bad bytes without losing them', async () => {
    const script = "printf '\\303'; sleep 0.3; printf '\\251\\n'; printf 'bad \\377\\n'"
    const { updates } = await runToEnd(stack.client, shell(image, script))
    const lines = updates.filter((update) => update['stream'] === 'stdout')
    expect(lines.map((update) => update['content'])).toEqual(['é', 'bad �'])
    expect('bytes' in lines[0]!).toBe(false)
    expect(Buffer.from(String(lines[1]!['bytes']), 'base64').toString('latin1')).toBe('bad \xff')
  })

  it('carries 100,000 lines in order without a gap', async () => {
    const { updates, gaps } = await runToEnd(stack.client, shell(image, 'seq 1 100000'))
    assertContiguous(updates)
    expect(gaps).toEqual([])
    const lines = updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])
    expect(lines).toHaveLength(100_000)
    expect(lines.every((line, index) => line === String(index + 1))).toBe(true)
  }, 60_000)

  it('is cut at the output limit, with the reason', async () => {
    const small = await startStack({ agents: 1, controlPlaneEnv: { DRAY_MAX_OUTPUT_BYTES: String(MIB) } })
    try {
      const { terminal, updates } = await runToEnd(small.client, shell(image, `yes ${'o'.repeat(255)}`))
      expect(terminal).toMatchObject({
        status: 'error',
        error: { code: 'output_limit' },
        exit: { reason: 'output_limit' },
      })
      expect(outputOf(updates, 'stdout').length).toBeGreaterThanOrEqual(MIB / 2)
      expect(outputOf(updates, 'stdout').length).toBeLessThan(4 * MIB)
    } finally {
      await small.close()
    }
  }, 60_000)

  it('names the update that holds a result over 256 KiB', async () => {
    const script = `printf '{"type":"job_update","status":"completed","result":{"big":["'; head -c 400000 /dev/zero | tr '\\0' r; printf '"]}}\\n'`
    const { terminal, updates, job } = await runToEnd(stack.client, {
      image,
      command: ['sh', '-c', script],
      resources: SMALL,
    })
    const { $update: seq } = terminal.result as { $update: number }
    expect(updates.find((update) => update.seq === seq)).toMatchObject({ container_status: 'completed' })
    expect(await stack.client.result(job.id)).toEqual({ big: ['r'.repeat(400_000)] })
  })
})
