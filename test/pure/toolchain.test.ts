// The machine's own Node may be older: `npm run` and vitest's workers must use the one that comes as a dependency.

import { expect, test } from 'vitest'

test('tests run under Node 24', () => {
  expect(process.versions.node).toMatch(/^24\./)
})
