// The tables as drizzle sees them: the types of every row that the store reads. The SQL of migrations/ makes them; a
// test compares both, column by column. Keys are the names of the columns, because rows arrive under these names.
// Columns of JSON are plain text here: rows.ts is the one place that reads them.
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { PHASES, STATUSES } from '../../shared/job.ts'

export const tenants = sqliteTable('tenants', {
  id: text().primaryKey(),
  created_at: integer().notNull(),
})

export const apiKeys = sqliteTable('api_keys', {
  id: text().primaryKey(),
  key_hash: text().notNull().unique(),
  tenant: text()
    .notNull()
    .references(() => tenants.id),
  role: text({ enum: ['admin', 'tenant'] }).notNull(),
  name: text(),
  created_at: integer().notNull(),
  expires_at: integer(),
})

export const joinTokens = sqliteTable('join_tokens', {
  id: text().primaryKey(),
  token_hash: text().notNull().unique(),
  pool: text(),
  created_at: integer().notNull(),
  expires_at: integer(),
})

export const agents = sqliteTable('agents', {
  id: text().primaryKey(),
  nkey: text().notNull().unique(),
  key_hash: text().notNull().unique(),
  name: text().notNull(),
  pool: text().notNull(),
  labels: text().notNull(),
  version: text().notNull(),
  protocol: integer().notNull(),
  capacity: text().notNull(),
  posture: text().notNull(),
  cordoned: integer().notNull(),
  draining: integer().notNull(),
  leaving: integer().notNull(),
  boot_id: text().notNull(),
  session: text().notNull(),
  beat: integer().notNull(),
  held: text().notNull(),
  lease_ms: integer().notNull(),
  lease_until: integer().notNull(),
  last_seen_at: integer(),
  joined_at: integer().notNull(),
})

export const agentSessions = sqliteTable(
  'agent_sessions',
  {
    agent: text().notNull(),
    session: text().notNull(),
    first_seen_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.agent, table.session] })],
)

export const jobs = sqliteTable(
  'jobs',
  {
    tenant: text().notNull(),
    id: text().notNull(),
    rev: integer().notNull(),
    status: text({ enum: STATUSES }).notNull(),
    phase: text({ enum: PHASES }).notNull(),
    attempt: integer().notNull(),
    failures: integer().notNull(),
    priority: integer().notNull(),
    pool: text().notNull(),
    agent: text(),
    assigned_attempt: integer(),
    spec: text().notNull(),
    shape: text().notNull(),
    labels: text().notNull(),
    retries: text().notNull(),
    cancel: text(),
    assignment: text(),
    finished_by: text(),
    result: text(),
    error: text(),
    exit: text(),
    retry_of: text(),
    created_at: integer().notNull(),
    started_at: integer(),
    finished_at: integer(),
    phase_since: integer().notNull(),
    queued_at: integer().notNull(),
    not_before: integer().notNull(),
    queue_ttl_ms: integer(),
    lost_after_ms: integer().notNull(),
    lapsed_at: integer(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] })],
)

export const jobLabels = sqliteTable(
  'job_labels',
  {
    tenant: text().notNull(),
    key: text().notNull(),
    value: text().notNull(),
    created_at: integer().notNull(),
    job: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.key, table.value, table.created_at, table.job] })],
)

export const idempotency = sqliteTable(
  'idempotency',
  {
    tenant: text().notNull(),
    key: text().notNull(),
    body_hash: text().notNull(),
    job: text().notNull(),
    at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.key] })],
)

export const attempts = sqliteTable(
  'attempts',
  {
    tenant: text().notNull(),
    job: text().notNull(),
    attempt: integer().notNull(),
    agent: text().notNull(),
    session: text().notNull(),
    claim_beat: integer().notNull(),
    gpus: text().notNull(),
    image_digest: text(),
    claimed_at: integer().notNull(),
    started_at: integer(),
    finished_at: integer(),
    updates: integer(),
    exit: text(),
    error: text(),
    told: integer(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.job, table.attempt] })],
)

export const transitions = sqliteTable(
  'transitions',
  {
    tenant: text().notNull(),
    job: text().notNull(),
    rev: integer().notNull(),
    token: text().notNull(),
    event: text().notNull(),
    at: integer().notNull(),
    status: text({ enum: STATUSES }).notNull(),
    phase: text({ enum: PHASES }).notNull(),
    reason: text(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.job, table.rev] })],
)

export const scheduler = sqliteTable('scheduler', {
  id: integer().primaryKey(),
  rev: integer().notNull(),
  token: text().notNull(),
})

export const sweep = sqliteTable('sweep', {
  id: integer().primaryKey(),
  at: integer().notNull(),
  previous_at: integer().notNull(),
  blind: integer().notNull(),
  watching_since: integer().notNull(),
})

export const updatesStream = sqliteTable('updates_stream', {
  id: integer().primaryKey(),
  created: text().notNull(),
  last_seq: integer().notNull(),
  changes: integer().notNull(),
})

export const incarnation = sqliteTable('incarnation', {
  id: integer().primaryKey(),
  number: integer().notNull(),
})
