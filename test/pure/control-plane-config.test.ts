// The control plane's settings, and the page that explains them.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  ConfigError,
  controlPlaneSettings,
  loadControlPlaneConfig,
} from '../../control-plane/entry/control-plane-config.ts'
import { configurationPage, configurationPagePath } from '../support/configuration-page.ts'

test('docs/configuration.md is what the table of settings says (node test/support/configuration-page.ts)', () => {
  expect(readFileSync(configurationPagePath, 'utf8')).toBe(configurationPage())
})

test('every setting has a description and a default in words', () => {
  for (const [name, schema] of Object.entries(controlPlaneSettings.shape))
    expect(schema.meta(), name).toMatchObject({
      description: expect.stringMatching(/\.$/),
      fallback: expect.stringMatching(/./),
    })
})

test('nothing set, or blank, is every default', () => {
  const config = loadControlPlaneConfig({ DRAY_PORT: '', DRAY_MAX_MEMORY: undefined })
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 8700,
    core: { leaseMs: 6_000, outputBytes: 2 ** 28, lineBytes: 2 ** 23 },
  })
  expect(Object.values(config.maxima).every((max) => max === null)).toBe(true)
  expect(config.databaseUrl).toBe(`file:${config.stateDir}/dray.db`)
})

test.each([
  ['DRAY_PORT', '65536', 'DRAY_PORT is "65536", but must be a number from 0 to 65535.'],
  ['DRAY_PORT', '80a', 'DRAY_PORT is "80a", but must be a number from 0 to 65535.'],
  ['DRAY_NATS_URLS', 'http://x', 'DRAY_NATS_URLS is "http://x", but must be addresses'],
  ['DRAY_MAX_MEMORY', '2x', 'DRAY_MAX_MEMORY is "2x", but must be a size'],
  ['DRAY_LOG_LEVEL', 'loud', 'DRAY_LOG_LEVEL is "loud", but must be one of info, warn, error.'],
  ['DRAY_TLS_CERT_FILE', 'a.pem', 'DRAY_TLS_CERT_FILE and DRAY_TLS_KEY_FILE must be set together.'],
  ['DRAY_MAX_MEMROY', '2g', 'DRAY_MAX_MEMROY is no setting of the control plane.'],
])('%s=%s is refused in a sentence that names it', (name, value, sentence) => {
  expect(() => loadControlPlaneConfig({ [name]: value })).toThrow(ConfigError)
  expect(() => loadControlPlaneConfig({ [name]: value })).toThrow(sentence)
})

test('a wrong secret is not repeated', () => {
  expect(() => loadControlPlaneConfig({ DRAY_ADMIN_TOKEN: 'hunter2' })).toThrow(/^DRAY_ADMIN_TOKEN must be/)
  expect(() => loadControlPlaneConfig({ DRAY_ADMIN_TOKEN: 'hunter2' })).not.toThrow(/hunter2/)
})
