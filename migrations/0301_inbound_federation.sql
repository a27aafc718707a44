-- Events of other servers that were taken but not worked into their rooms yet: what was answered with 200 is not lost.
CREATE TABLE staged_events (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  room_id text NOT NULL,
  event_id text NOT NULL,
  origin text NOT NULL,
  -- The event as it came, with its signatures.
  json text NOT NULL,
  received_ts bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- When somebody may take it up (again).
  due_ts bigint NOT NULL,
  UNIQUE (room_id, event_id)
);
CREATE INDEX staged_events_due ON staged_events (due_ts);

-- Transactions of other servers and what they were answered, so that one that comes again is not worked through again.
CREATE TABLE inbound_transactions (
  origin text NOT NULL,
  destination text NOT NULL,
  txn_id text NOT NULL,
  answer text NOT NULL,
  received_ts bigint NOT NULL,
  PRIMARY KEY (origin, destination, txn_id)
);
CREATE INDEX inbound_transactions_received ON inbound_transactions (received_ts);
