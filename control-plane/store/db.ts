// What the store asks of a database: one read of several statements in one snapshot, or one write that is applied whole
// or not at all. Each call is one round trip. Statements are drizzle `sql` templates, so a value is never pasted into
// SQL. Errors leave as AppError: `unavailable` where asking again can help, `internal` where it cannot.
import type { InStatement, ResultSet } from '@libsql/client/web'
import { sql, type SQL } from 'drizzle-orm'
import { SQLiteAsyncDialect } from 'drizzle-orm/sqlite-core'

export type Row = Readonly<Record<string, unknown>>

export interface Db {
  /** Rows of each statement, all of one moment: every write that was answered before is in them. Waits for no writer. */
  read(statements: readonly SQL[]): Promise<readonly (readonly Row[])[]>
  /** The same for what people only look at: a replica may answer, seconds behind. Nothing is ever decided by it. */
  glance(statements: readonly SQL[]): Promise<readonly (readonly Row[])[]>
  /** One transaction. Rows of each statement that returns any. */
  write(statements: readonly SQL[]): Promise<readonly (readonly Row[])[]>
  /** Waits for what is under way, then lets go of the database. */
  close(): Promise<void>
}

/** Now by the database's clock, in ms: the only clock that decides anything. */
export const NOW = sql.raw("CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)")

const dialect = new SQLiteAsyncDialect()

export function render(statement: SQL): Exclude<InStatement, string> {
  const { sql: text, params } = dialect.sqlToQuery(statement)
  return { sql: text, args: params as string[] }
}

export function rowsOf(results: readonly ResultSet[]): readonly (readonly Row[])[] {
  return results.map((result) => result.rows as unknown as readonly Row[])
}

/** JSON for a column; undefined is NULL, and null is JSON's null. */
export function json(value: unknown): string | null {
  return JSON.stringify(value) ?? null
}

/** JSON for a column in which null and undefined both mean "nothing". */
export function jsonOrNull(value: unknown): string | null {
  return value === null ? null : json(value)
}
