-- Integers inside, strings at the edge. Strings that text cannot hold are escaped by src/storage/text.ts.
CREATE TABLE users (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL UNIQUE
);
CREATE TABLE event_types (
  nid integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type text NOT NULL UNIQUE
);
CREATE TABLE state_tuples (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type text NOT NULL,
  state_key text NOT NULL,
  UNIQUE (type, state_key)
);

-- Numbers that a process takes in blocks, so that a pipeline needs no round trip for them.
CREATE SEQUENCE room_nids INCREMENT 100;
CREATE SEQUENCE event_nids INCREMENT 1000;
CREATE SEQUENCE snapshot_nids INCREMENT 1000;
CREATE SEQUENCE chain_nids INCREMENT 1000;

CREATE TABLE rooms (
  nid bigint PRIMARY KEY,
  room_id text NOT NULL UNIQUE,
  version text NOT NULL,
  -- The fence: each room transaction expects the number it knows and adds one.
  revision bigint NOT NULL DEFAULT 0,
  -- The process that alone writes to the room, as long as it lives.
  owner bigint,
  extremities bigint[] NOT NULL DEFAULT '{}',
  ordinal bigint NOT NULL DEFAULT 0,
  -- The snapshot that equals the current state; NULL is the empty state.
  snapshot bigint
) WITH (fillfactor = 70);

-- flags: 1 outlier, 2 rejected, 4 soft-failed.
CREATE TABLE events (
  nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  event_id text NOT NULL UNIQUE,
  type_nid integer NOT NULL,
  tuple_nid bigint,
  sender_nid bigint NOT NULL,
  depth bigint NOT NULL,
  origin_server_ts bigint NOT NULL,
  position bigint NOT NULL,
  -- The place in the live timeline of the room: 1, 2, 3…; NULL for what the timeline does not show.
  ordinal bigint,
  flags smallint NOT NULL,
  -- The snapshot of the state before the event; NULL is the empty state (and unknown for an outlier).
  state_before bigint,
  prev_nids bigint[] NOT NULL,
  auth_nids bigint[] NOT NULL,
  -- For a state event: the event that was that state before.
  replaces bigint,
  redacted_by bigint,
  relates_to bigint,
  rel_type_nid integer,
  -- The root of the thread the event belongs to, and its place among the events of that thread.
  thread_root bigint,
  thread_ordinal bigint
);
-- /sync and /messages walk the live timeline; a room cannot have two events in one place.
CREATE UNIQUE INDEX events_ordinal ON events (room_nid, ordinal) WHERE ordinal IS NOT NULL;
-- From a position of the log to a place in the room.
CREATE INDEX events_position ON events (room_nid, position) WHERE ordinal IS NOT NULL;
-- A room's history: depth, then nid.
CREATE INDEX events_depth ON events (room_nid, depth, nid);
-- timestamp_to_event
CREATE INDEX events_timestamp ON events (room_nid, origin_server_ts);
-- The state events of a room in the order they came in.
CREATE INDEX events_state ON events (room_nid, position) WHERE tuple_nid IS NOT NULL;
CREATE INDEX events_relations ON events (relates_to, nid) WHERE relates_to IS NOT NULL;
CREATE INDEX events_threads ON events (thread_root, thread_ordinal) WHERE thread_root IS NOT NULL;

-- Event JSON as text, exactly as signed. State events (all that authorise others are state) are never detached.
CREATE TABLE state_event_json (
  nid bigint PRIMARY KEY,
  json text NOT NULL
);
-- Message bodies, partitioned by nid range, cut monthly on arrival.
CREATE TABLE message_json (
  nid bigint PRIMARY KEY,
  json text NOT NULL
) PARTITION BY RANGE (nid);
CREATE TABLE message_json_0 PARTITION OF message_json FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- Events that others name as previous and that we do not have: where the history has gaps.
CREATE TABLE missing_events (
  room_nid bigint NOT NULL,
  event_id text NOT NULL,
  named_by bigint NOT NULL,
  PRIMARY KEY (room_nid, event_id, named_by)
);

-- One row per (room, type, state_key). A row without event tells when that state went away.
CREATE TABLE current_state (
  room_nid bigint NOT NULL,
  tuple_nid bigint NOT NULL,
  event_nid bigint,
  type_nid integer NOT NULL,
  position bigint NOT NULL,
  -- Of m.room.member: whose, and 1 join, 2 invite, 3 knock, 4 leave, 5 ban.
  user_nid bigint,
  membership smallint,
  PRIMARY KEY (room_nid, tuple_nid)
) WITH (fillfactor = 80);
CREATE INDEX current_state_type ON current_state (room_nid, type_nid);
CREATE INDEX current_state_membership ON current_state (room_nid, membership) WHERE membership IS NOT NULL;
CREATE INDEX current_state_user ON current_state (user_nid, membership) WHERE user_nid IS NOT NULL;

-- The rooms of a local user, left ones included.
CREATE TABLE memberships (
  user_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  membership smallint NOT NULL,
  event_nid bigint NOT NULL,
  position bigint NOT NULL,
  forgotten boolean NOT NULL DEFAULT false,
  PRIMARY KEY (user_nid, room_nid)
) WITH (fillfactor = 80);

-- State as immutable shared snapshots: a snapshot is its parent with some tuples changed (event 0: taken away).
-- `number` counts the changes since the root; the parent is the number with its lowest non-zero hexadecimal digit cleared,
-- so that a chain is never longer than the number has digits.
CREATE TABLE state_snapshots (
  nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  number bigint NOT NULL,
  parent bigint,
  tuple_nids bigint[] NOT NULL,
  event_nids bigint[] NOT NULL,
  unreachable_since timestamptz
);
CREATE INDEX state_snapshots_room ON state_snapshots (room_nid);
CREATE INDEX state_snapshots_unreachable ON state_snapshots (unreachable_since) WHERE unreachable_since IS NOT NULL;

-- Auth chains: each state event has a place on one chain and reaches what is before it there; links lead to other chains.
CREATE TABLE auth_chains (
  event_nid bigint PRIMARY KEY,
  chain bigint NOT NULL,
  sequence bigint NOT NULL,
  UNIQUE (chain, sequence)
);
CREATE TABLE auth_chain_links (
  chain bigint NOT NULL,
  sequence bigint NOT NULL,
  target_chain bigint NOT NULL,
  target_sequence bigint NOT NULL,
  PRIMARY KEY (chain, sequence, target_chain)
);

-- What a client sent under which transaction id. `key` is a digest of user, device, endpoint and transaction id.
CREATE TABLE transaction_ids (
  key bytea PRIMARY KEY,
  event_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  txn_id text NOT NULL,
  created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transaction_ids_event ON transaction_ids (event_nid);
CREATE INDEX transaction_ids_created ON transaction_ids USING brin (created);

-- Raises when a room was changed by someone else than who writes now.
CREATE FUNCTION fence_rooms(
  nids bigint[], revisions bigint[], owners bigint[], new_extremities text[], ordinals bigint[], snapshots bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  changed bigint;
BEGIN
  UPDATE rooms SET revision = rooms.revision + 1, extremities = fence.extremities::bigint[], ordinal = fence.ordinal,
      snapshot = fence.snapshot
    FROM unnest(nids, revisions, owners, new_extremities, ordinals, snapshots)
      AS fence (nid, revision, owner, extremities, ordinal, snapshot)
    WHERE rooms.nid = fence.nid AND rooms.revision = fence.revision AND rooms.owner = fence.owner;
  GET DIAGNOSTICS changed = ROW_COUNT;
  IF changed <> cardinality(nids) THEN
    RAISE EXCEPTION 'a room was changed by another owner' USING ERRCODE = 'HA001';
  END IF;
END
$$;
