-- Which life of the stream UPDATES was seen last: another time of creation, or an end before one that was seen, means that
-- its store was wiped or put back, and that clients are told of gaps.
CREATE TABLE updates_stream (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- As JetStream tells it.
  created TEXT NOT NULL,
  -- The furthest stream sequence that was seen in this life.
  last_seq INTEGER NOT NULL,
  -- How often it was another life than before.
  changes INTEGER NOT NULL DEFAULT 0
);
