-- Events that users have scheduled (MSC4140), and for a while what became of them. Times are milliseconds since 1970.
CREATE TABLE delayed_events (
  delay_id text PRIMARY KEY,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  -- A digest of the transaction id under which it was scheduled, if there was one.
  transaction_key bytea UNIQUE,
  room_id text NOT NULL,
  type text NOT NULL,
  -- NULL: it is no state event.
  state_key text,
  -- JSON text.
  content text NOT NULL,
  -- The time that an application service says it happened at.
  origin_server_ts bigint,
  delay_ms bigint NOT NULL,
  running_since bigint NOT NULL,
  send_ts bigint NOT NULL,
  -- Until when a process is at work on it.
  claimed_until_ts bigint NOT NULL DEFAULT 0,
  -- Set when it is over: it was sent, failed (the error as JSON text), or was cancelled if neither.
  finalised_ts bigint,
  event_id text,
  error text
);
CREATE INDEX delayed_events_due ON delayed_events (send_ts) WHERE finalised_ts IS NULL;
CREATE INDEX delayed_events_user ON delayed_events (user_nid, send_ts, delay_id);
CREATE INDEX delayed_events_finalised ON delayed_events (finalised_ts) WHERE finalised_ts IS NOT NULL;
