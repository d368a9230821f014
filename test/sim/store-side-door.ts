// The handful of SQL statements by which the store's contract lets time pass, for the simulated store: UPDATE of a whole
// table, with numbers added and taken away.
import type { Tables } from './store-tables.ts'

type Columns = Record<string, [get: () => number, set: (value: number) => unknown]>

export function openSideDoor(tables: Tables): (sql: string) => Promise<void> {
  return async (sql) => {
    const [, table, assignments, id] = /^UPDATE (\w+) SET (.+?)(?: WHERE id = '(.+)')?$/.exec(sql) ?? []
    for (const columns of rowsOf(tables, table ?? '', id)) {
      for (const assignment of (assignments ?? '').split(',')) {
        const [column = '', value = ''] = assignment.split('=').map((side) => side.trim())
        const [get, set] = columns[column] ?? []
        if (!get || !set) throw new Error(`The side door knows no column "${column}": ${sql}`)
        set(evaluate(value, column, get()))
      }
    }
  }
}

function evaluate(value: string, column: string, old: number): number {
  const terms = value.replaceAll(column, String(old)).split(/\s(?=[+-]\s)/)
  return terms.reduce((total, term) => total + Number(term.replace(/\s/g, '')), 0)
}

function rowsOf(tables: Tables, table: string, id: string | undefined): Columns[] {
  const { sweep } = tables
  switch (table) {
    case 'agents':
      return [...tables.agents.values()]
        .filter(({ record }) => id === undefined || record.id === id)
        .map((row) => ({
          lease_until: [() => row.leaseUntilMs, (value) => (row.leaseUntilMs = value)],
          lease_ms: [() => row.leaseMs, (value) => (row.leaseMs = value)],
        }))
    case 'idempotency':
      return [...tables.idempotency.values()].map((row) => ({ at: [() => row.atMs, (value) => (row.atMs = value)] }))
    case 'sweep':
      return [
        {
          at: [() => sweep.atMs, (value) => (sweep.atMs = value)],
          watching_since: [() => sweep.watchingSinceMs, (value) => (sweep.watchingSinceMs = value)],
        },
      ]
    case 'jobs':
      return [...tables.jobs.values()].map((row) => ({
        rev: [() => row.state.rev, (rev) => (row.state = { ...row.state, rev })],
        queued_at: [() => row.queuedAtMs, (value) => (row.queuedAtMs = value)],
        phase_since: [() => row.phaseSinceMs, (value) => (row.phaseSinceMs = value)],
      }))
    default:
      throw new Error(`The side door knows no table "${table}"`)
  }
}
