-- Everything that the control plane knows. Times are milliseconds since 1970 by this database's own clock.
-- The triggers at the end refuse what no correct writer asks for: they are the second lock behind the first.

CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL
);

-- Keys and tokens are 32 random bytes; only their SHA-256 is here.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  key_hash TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL REFERENCES tenants (id),
  role TEXT NOT NULL CHECK (role IN ('admin', 'tenant')),
  name TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
);

CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY,
  token_hash TEXT NOT NULL UNIQUE,
  pool TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
);

CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  nkey TEXT NOT NULL UNIQUE,
  key_hash TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  pool TEXT NOT NULL,
  labels TEXT NOT NULL,
  version TEXT NOT NULL,
  protocol INTEGER NOT NULL,
  capacity TEXT NOT NULL,
  posture TEXT NOT NULL,
  cordoned INTEGER NOT NULL DEFAULT 0,
  -- By an operator's word.
  draining INTEGER NOT NULL DEFAULT 0,
  -- By its own: its process is about to end and takes no new work.
  leaving INTEGER NOT NULL DEFAULT 0,
  boot_id TEXT NOT NULL,
  session TEXT NOT NULL,
  -- Of the current session; a beat that is not larger is a repeat.
  beat INTEGER NOT NULL DEFAULT 0,
  -- JSON: the attempts that the last beat listed.
  held TEXT NOT NULL DEFAULT '[]',
  lease_ms INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER NOT NULL,
  last_seen_at INTEGER,
  joined_at INTEGER NOT NULL
);
CREATE INDEX agents_by_age ON agents (joined_at, id);

-- A session that is here and is not agents.session is an older process: superseded for ever.
CREATE TABLE agent_sessions (
  agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  session TEXT NOT NULL,
  first_seen_at INTEGER NOT NULL,
  PRIMARY KEY (agent, session)
) WITHOUT ROWID;

CREATE TABLE jobs (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  rev INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('starting', 'running', 'completed', 'error', 'cancelled')),
  phase TEXT NOT NULL
    CHECK (phase IN ('queued', 'assigned', 'pulling', 'creating', 'running', 'reconnecting', 'finished')),
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  -- 0 high, 1 normal, 2 low.
  priority INTEGER NOT NULL,
  pool TEXT NOT NULL,
  -- The agent of the assignment and its attempt; null while nobody has the job.
  agent TEXT,
  assigned_attempt INTEGER,
  spec TEXT NOT NULL,
  -- The spec without what only the container needs: all that scheduling looks at.
  shape TEXT NOT NULL,
  labels TEXT NOT NULL,
  retries TEXT NOT NULL,
  cancel TEXT,
  assignment TEXT,
  finished_by TEXT,
  result TEXT,
  error TEXT,
  exit TEXT,
  retry_of TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  phase_since INTEGER NOT NULL,
  -- Since when it waits; an assignment that was taken back does not begin the wait anew.
  queued_at INTEGER NOT NULL,
  not_before INTEGER NOT NULL DEFAULT 0,
  queue_ttl_ms INTEGER,
  lost_after_ms INTEGER NOT NULL,
  lapsed_at INTEGER,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX jobs_by_age ON jobs (tenant, created_at, id);
CREATE INDEX jobs_by_status ON jobs (tenant, status, created_at, id);
CREATE INDEX jobs_in_queue ON jobs (pool, priority, created_at, id) WHERE phase = 'queued';
CREATE INDEX jobs_on_agent ON jobs (agent) WHERE agent IS NOT NULL;
CREATE INDEX jobs_alive ON jobs (phase, phase_since) WHERE phase <> 'finished';

CREATE TABLE job_labels (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  job TEXT NOT NULL,
  PRIMARY KEY (tenant, key, value, created_at, job)
) WITHOUT ROWID;

CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  job TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE attempts (
  tenant TEXT NOT NULL,
  job TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  agent TEXT NOT NULL,
  session TEXT NOT NULL,
  -- The agent's beat counter at the claim: until a later beat has come, its list cannot name this attempt.
  claim_beat INTEGER NOT NULL,
  gpus TEXT NOT NULL,
  image_digest TEXT,
  claimed_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  updates INTEGER,
  exit TEXT,
  error TEXT,
  PRIMARY KEY (tenant, job, attempt)
) WITHOUT ROWID;

-- The audit trail, and the lock: whoever inserts (tenant, job, rev) made that revision.
CREATE TABLE transitions (
  tenant TEXT NOT NULL,
  job TEXT NOT NULL,
  rev INTEGER NOT NULL,
  token TEXT NOT NULL,
  event TEXT NOT NULL,
  at INTEGER NOT NULL,
  status TEXT NOT NULL,
  phase TEXT NOT NULL,
  reason TEXT,
  PRIMARY KEY (tenant, job, rev)
) WITHOUT ROWID;

CREATE TABLE scheduler (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  rev INTEGER NOT NULL,
  -- Of the plan that made this rev.
  token TEXT NOT NULL
);
INSERT INTO scheduler (id, rev, token) VALUES (1, 0, '');

CREATE TABLE sweep (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL,
  previous_at INTEGER NOT NULL,
  -- Whether the last sweep was the first after a time in which nobody watched, and since when somebody watches again.
  blind INTEGER NOT NULL,
  watching_since INTEGER NOT NULL
);
INSERT INTO sweep (id, at, previous_at, blind, watching_since) VALUES (1, 0, 0, 1, 0);

-- Which life of this database it is; a restore begins the next.
CREATE TABLE incarnation (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL
);
INSERT INTO incarnation (id, number) VALUES (1, 1);

CREATE TRIGGER jobs_terminal_is_final BEFORE UPDATE ON jobs
WHEN OLD.status IN ('completed', 'error', 'cancelled')
BEGIN
  SELECT RAISE(ABORT, 'dray: an ended job never changes');
END;

CREATE TRIGGER jobs_rev_counts_up BEFORE UPDATE ON jobs
WHEN NEW.rev <> OLD.rev + 1
BEGIN
  SELECT RAISE(ABORT, 'dray: a change makes exactly the next rev');
END;

CREATE TRIGGER jobs_attempt_never_falls BEFORE UPDATE ON jobs
WHEN NEW.attempt < OLD.attempt OR NEW.assigned_attempt <= OLD.attempt AND OLD.phase = 'queued'
BEGIN
  SELECT RAISE(ABORT, 'dray: an attempt never comes back');
END;

CREATE TRIGGER jobs_are_kept BEFORE DELETE ON jobs
WHEN OLD.status NOT IN ('completed', 'error', 'cancelled')
BEGIN
  SELECT RAISE(ABORT, 'dray: a live job is never deleted');
END;

CREATE TRIGGER transitions_are_history BEFORE UPDATE ON transitions
BEGIN
  SELECT RAISE(ABORT, 'dray: a transition is never rewritten');
END;
