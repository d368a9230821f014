// Holds the write lock of a database file for a while, as a backup or a stuck tool does:
// `node test/chaos/lock-database.ts FILE MILLISECONDS`.

import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@libsql/client'

const [file = '', forMs = '0'] = process.argv.slice(2)
const client = createClient({ url: `file:${file}`, timeout: 5_000 })
const transaction = await client.transaction('write')
await sleep(Number(forMs))
await transaction.rollback()
client.close()
