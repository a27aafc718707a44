-- The smallest number of a migration that a Hansa must know to work on this database.
CREATE TABLE schema_compat (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  needs integer NOT NULL
);
INSERT INTO schema_compat (needs) VALUES (1);

-- Positions are drawn under an advisory lock held until after COMMIT, so they become visible in their order.
CREATE SEQUENCE log_position;

-- Every change that someone may have to be told about. `kind` is src/storage/log-entry.ts's.
CREATE TABLE log (
  position bigint NOT NULL,
  index integer NOT NULL,
  kind smallint NOT NULL,
  room_nid bigint,
  user_nid bigint,
  device text,
  destination text,
  tuple_nid bigint,
  reference bigint,
  previous bigint,
  PRIMARY KEY (position, index)
) PARTITION BY RANGE (position);
CREATE INDEX log_room ON log (room_nid, position) WHERE room_nid IS NOT NULL;
CREATE INDEX log_user ON log (user_nid, position) WHERE user_nid IS NOT NULL;
CREATE INDEX log_destination ON log (destination, position) WHERE destination IS NOT NULL;
CREATE TABLE log_p0 PARTITION OF log FOR VALUES FROM (0) TO (1000000);
CREATE TABLE log_p1 PARTITION OF log FOR VALUES FROM (1000000) TO (2000000);

-- When a position was the head, noted now and then: what the age of a partition is told by.
CREATE TABLE log_clock (
  at timestamptz PRIMARY KEY DEFAULT now(),
  position bigint NOT NULL
);

-- How far each reader of the log has come, written together with what it did.
CREATE TABLE log_cursors (
  name text PRIMARY KEY,
  position bigint NOT NULL
);

-- One row for each history of this database: another system identifier, timeline or restore starts a new epoch.
CREATE TABLE epochs (
  epoch integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  system_identifier text NOT NULL,
  timeline integer NOT NULL,
  restore integer NOT NULL DEFAULT 0,
  began_at bigint NOT NULL,
  UNIQUE (system_identifier, timeline, restore)
);

-- The processes of this deployment. One whose `seen` is too old is dead to the others, and its rooms can be taken.
CREATE TABLE processes (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  address text NOT NULL,
  started timestamptz NOT NULL DEFAULT now(),
  seen timestamptz NOT NULL DEFAULT now()
);
