// Exits 0 when a Docker engine answers on the given Unix socket within two seconds. Plain JavaScript: any Node runs it.

import { get } from 'node:http'

get({ socketPath: process.argv[2], path: '/_ping', timeout: 2000 }, (answer) =>
  process.exit(answer.statusCode === 200 ? 0 : 1),
)
  .on('timeout', () => process.exit(1))
  .on('error', () => process.exit(1))
