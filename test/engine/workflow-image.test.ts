import { expect, inject, test } from 'vitest'
import '../support/provided.ts'

test('the engine answers', () => {
  expect(inject('engineSocket')).toContain('sock')
})
