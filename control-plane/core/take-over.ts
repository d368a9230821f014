// Portable: Web APIs only.
//
// A row that names an older process of its agent than the one that holds the attempt. A claim writes the process into the
// row before anything is said or finished, so this happens in one case only: the row comes from a backup, and the next
// process took the container over after that was made. An agent's newest process is right about what it holds: the row
// follows it.
import type { JobRecord } from '../../shared/job.ts'
import { applyEvent } from './apply-event.ts'
import type { AgentCall } from './core.ts'
import type { CoreContext } from './deps.ts'
import type { JobKey } from './ports.ts'

/** The record as it is now, or null where the attempt is not this process's to have. */
export async function takeOver(
  core: CoreContext,
  { agent, session }: AgentCall,
  key: JobKey,
  { attempt, beat }: { readonly attempt: number; readonly beat: number },
): Promise<JobRecord | null> {
  const applied = await applyEvent(core, key, {
    event: { type: 'claimed', agent: agent.id, session, attempt, beat, adopt: true },
    reason: 'a newer process of its agent holds it',
    guard: { kind: 'session', agent: agent.id, session },
  })
  return applied.kind === 'applied' ? { ...applied.before, state: applied.state } : null
}
