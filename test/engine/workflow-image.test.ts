import { expect, inject, test } from 'vitest'

test('the engine answers', () => {
  expect(inject('engineSocket')).toContain('sock')
})
