// Planted bugs of a control plane that trusts a replica of its database: each is one question that a copy answers which is
// behind. The last is the mend that comes to mind first: ask the primary only where the replica knows nothing.
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { Planted } from './planted-bug.ts'
import { besideReplica, SERVED_BY_REPLICAS } from './store-replica.ts'

function fromReplica(name: string, read: keyof JobStore, breaks: string): Planted {
  return {
    name,
    breaks,
    plant: () => ({ twoStores: (primary, replica) => besideReplica(primary, replica, [...SERVED_BY_REPLICAS, read]) }),
  }
}

export const plantedInRegions: readonly Planted[] = [
  fromReplica(
    'job-from-replica',
    'readJob',
    'a job that was accepted is not there for whoever looks or follows at once',
  ),
  fromReplica('caller-from-replica', 'agentAndJob', "an agent's newest process is taken for an old one, and goes away"),
  fromReplica('key-from-replica', 'keyByHash', 'a new key is refused, and one that was deleted accepted'),
  {
    name: 'old-row-from-replica',
    breaks: 'a row that is there and old decides: who follows a job, or changes it, takes what has passed for what is',
    plant: () => ({
      twoStores: (primary, replica) => ({
        ...besideReplica(primary, replica),
        readJob: async (key) => (await replica.readJob(key)) ?? primary.readJob(key),
      }),
    }),
  },
]
