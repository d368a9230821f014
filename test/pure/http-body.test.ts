// Bodies are bounded one by one and all together (promise 6: memory is bounded everywhere).

import { expect, test } from 'vitest'
import { createBodyReader } from '../../control-plane/http/body.ts'

const LIMIT = 1_000

function request(body: string): Request {
  return new Request('http://localhost/', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
}

test('createBodyReader() refuses what would be too much at once, and takes it again when the others are done', async () => {
  const reader = createBodyReader(LIMIT)
  const body = JSON.stringify('x'.repeat(LIMIT - 2))
  const { promise: done, resolve: finish } = Promise.withResolvers<void>()
  const held = Array.from({ length: 8 }, () => reader.read(request(body), () => done))
  await expect(reader.read(request(body), () => Promise.resolve())).rejects.toMatchObject({ code: 'unavailable' })
  finish()
  await Promise.all(held)
  await expect(reader.read(request(body), (read) => Promise.resolve(read))).resolves.toBe('x'.repeat(LIMIT - 2))
})

test('createBodyReader() gives back what failed bodies took', async () => {
  const reader = createBodyReader(LIMIT)
  for (let count = 0; count < 50; count += 1) {
    await expect(reader.read(request('x'.repeat(LIMIT)), () => Promise.resolve())).rejects.toMatchObject({
      code: 'bad_request',
    })
    await expect(reader.read(request('x'.repeat(LIMIT + 1)), () => Promise.resolve())).rejects.toMatchObject({
      code: 'too_large',
    })
  }
  await expect(reader.read(request('{}'), (read) => Promise.resolve(read))).resolves.toEqual({})
})

test('createBodyReader() gives undefined for no body, whatever its type', async () => {
  const reader = createBodyReader(LIMIT)
  const none = new Request('http://localhost/', { method: 'POST' })
  expect(await reader.read(none, (read) => Promise.resolve(read))).toBeUndefined()
})
