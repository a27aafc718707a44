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

-- Writes changes of rooms, of many rooms at once, as one statement: each argument holds the rows of a
-- table, or is NULL. Gives the position of it all. The fence comes first: a room that was changed by someone else
-- than who writes now raises HA001. The lock of the log is taken late, as everyone who writes waits for it.
CREATE FUNCTION write_changes(
  fences json, new_rooms json, new_transaction_ids json, new_state_event_json json, new_message_json json, new_state_snapshots json, new_auth_chains json,
  new_auth_chain_links json, new_missing_events json, new_events json, new_redactions json, new_current_state json, new_memberships json, new_entries json
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  changed bigint;
  here bigint;
BEGIN
  IF fences IS NOT NULL THEN
    UPDATE rooms SET revision = rooms.revision + 1, extremities = row.extremities, ordinal = row.ordinal, snapshot = row.snapshot
      FROM json_to_recordset(fences)
        AS row (nid bigint, revision bigint, owner bigint, extremities bigint[], ordinal bigint, snapshot bigint)
      WHERE rooms.nid = row.nid AND rooms.revision = row.revision AND rooms.owner = row.owner;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> json_array_length(fences) THEN
      RAISE EXCEPTION 'a room was changed by another owner' USING ERRCODE = 'HA001';
    END IF;
  END IF;
  IF new_rooms IS NOT NULL THEN
    INSERT INTO rooms (nid, room_id, version, revision, owner, extremities, ordinal, snapshot)
      SELECT nid, room_id, version, revision, owner, extremities, ordinal, snapshot
      FROM json_populate_recordset(NULL::rooms, new_rooms);
  END IF;
  IF new_transaction_ids IS NOT NULL THEN
    INSERT INTO transaction_ids (key, event_nid, user_nid, device_id, txn_id)
      SELECT decode(key, 'hex'), event_nid, user_nid, device_id, txn_id
      FROM json_to_recordset(new_transaction_ids)
        AS row (key text, event_nid bigint, user_nid bigint, device_id text, txn_id text);
  END IF;
  IF new_state_event_json IS NOT NULL THEN
    INSERT INTO state_event_json SELECT * FROM json_populate_recordset(NULL::state_event_json, new_state_event_json);
  END IF;
  IF new_message_json IS NOT NULL THEN
    INSERT INTO message_json SELECT * FROM json_populate_recordset(NULL::message_json, new_message_json);
  END IF;
  IF new_state_snapshots IS NOT NULL THEN
    INSERT INTO state_snapshots SELECT * FROM json_populate_recordset(NULL::state_snapshots, new_state_snapshots);
  END IF;
  IF new_auth_chains IS NOT NULL THEN
    INSERT INTO auth_chains SELECT * FROM json_populate_recordset(NULL::auth_chains, new_auth_chains);
  END IF;
  IF new_auth_chain_links IS NOT NULL THEN
    INSERT INTO auth_chain_links SELECT * FROM json_populate_recordset(NULL::auth_chain_links, new_auth_chain_links);
  END IF;
  IF new_missing_events IS NOT NULL THEN
    INSERT INTO missing_events SELECT * FROM json_populate_recordset(NULL::missing_events, new_missing_events)
      ON CONFLICT DO NOTHING;
  END IF;

  PERFORM pg_advisory_xact_lock(1751215731);
  here := nextval('log_position');
  IF new_events IS NOT NULL THEN
    INSERT INTO events (nid, room_nid, event_id, type_nid, tuple_nid, sender_nid, depth, origin_server_ts, position, ordinal,
        flags, state_before, prev_nids, auth_nids, replaces, relates_to, rel_type_nid, thread_root, thread_ordinal)
      SELECT nid, room_nid, event_id, type_nid, tuple_nid, sender_nid, depth, origin_server_ts, here, ordinal,
        flags, state_before, prev_nids, auth_nids, replaces, relates_to, rel_type_nid, thread_root, thread_ordinal
      FROM json_populate_recordset(NULL::events, new_events);
  END IF;
  IF new_redactions IS NOT NULL THEN
    UPDATE events SET redacted_by = row.redacted_by
      FROM json_to_recordset(new_redactions) AS row (nid bigint, redacted_by bigint)
      WHERE events.nid = row.nid AND events.redacted_by IS NULL;
  END IF;
  IF new_current_state IS NOT NULL THEN
    INSERT INTO current_state (room_nid, tuple_nid, event_nid, type_nid, position, user_nid, membership)
      SELECT room_nid, tuple_nid, event_nid, type_nid, here, user_nid, membership
      FROM json_populate_recordset(NULL::current_state, new_current_state)
      ON CONFLICT (room_nid, tuple_nid) DO UPDATE SET event_nid = excluded.event_nid, position = excluded.position,
        membership = excluded.membership;
  END IF;
  IF new_memberships IS NOT NULL THEN
    INSERT INTO memberships (user_nid, room_nid, membership, event_nid, position)
      SELECT user_nid, room_nid, membership, event_nid, here
      FROM json_populate_recordset(NULL::memberships, new_memberships)
      ON CONFLICT (user_nid, room_nid) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,
        position = excluded.position, forgotten = false;
  END IF;
  INSERT INTO log (position, index, kind, room_nid, user_nid, device, destination, tuple_nid, reference, previous)
    SELECT here, row_number() OVER (), kind, room_nid, user_nid, device, destination, tuple_nid, reference, previous
    FROM json_to_recordset(new_entries) AS row (kind smallint, room_nid bigint, user_nid bigint, device text, destination text,
      tuple_nid bigint, reference bigint, previous bigint);
  RETURN here;
END
$$;
