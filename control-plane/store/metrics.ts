// The numbers behind /metrics, in one read. Ended jobs are not counted: they only grow, and counting them would walk
// through all of them.
import { sql } from 'drizzle-orm'
import { PHASES } from '../../shared/job.ts'
import type { Metrics } from '../core/ports.ts'
import { NOW, type Db, type Row } from './db.ts'

export async function readMetrics(db: Db): Promise<Metrics> {
  const [phases, states, unclaimed, lives] = await db.glance([
    sql`SELECT phase AS name, COUNT(*) AS count FROM jobs WHERE phase <> 'finished' GROUP BY 1`,
    sql`SELECT CASE WHEN lease_until <= ${NOW} THEN 'lost' WHEN draining + leaving <> 0 THEN 'draining'
        WHEN cordoned <> 0 THEN 'cordoned' ELSE 'ready' END AS name, COUNT(*) AS count
      FROM agents GROUP BY 1`,
    sql`SELECT COALESCE(MAX(${NOW} - phase_since), 0) AS age FROM jobs WHERE phase = 'assigned' AND phase <> 'finished'`,
    sql`SELECT number, (SELECT changes FROM updates_stream WHERE id = 1) AS changes FROM incarnation WHERE id = 1`,
  ])
  return {
    jobsByPhase: counts(
      PHASES.filter((phase) => phase !== 'finished'),
      phases,
    ),
    agentsByState: counts(['ready', 'cordoned', 'draining', 'lost'], states),
    oldestUnclaimedMs: Math.max(0, Number(unclaimed?.[0]?.['age'] ?? 0)),
    databaseIncarnation: Number(lives?.[0]?.['number'] ?? 0),
    updatesStreamChanges: Number(lives?.[0]?.['changes'] ?? 0),
  }
}

/** Names without a row count 0: a line that vanishes from /metrics looks like a control plane that died. */
function counts(names: readonly string[], rows: readonly Row[] | undefined): Record<string, number> {
  const found = new Map((rows ?? []).map((row) => [String(row['name']), Number(row['count'])]))
  return Object.fromEntries(names.map((name) => [name, found.get(name) ?? 0]))
}
