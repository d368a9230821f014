// The relay's contract, met through sockets: the relay in a process of Node or Deno, and in Durable Objects of workerd.
import { describe } from 'vitest'
import { relayContract } from '../contract/relay.contract.ts'
import { RUNTIMES } from '../support/planes.ts'
import { servedRelay } from '../support/served-relay.ts'

describe.each(RUNTIMES)('the relay on %s', (runtime) => relayContract(() => servedRelay(runtime)))
