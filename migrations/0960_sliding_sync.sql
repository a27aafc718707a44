-- What connections of simplified sliding sync (MSC4186) were sent. A connection is in a state; an answer that sends more than
-- what simply goes on makes the next state, kept beside the one it was made from until the client shows which it has.
CREATE TABLE sliding_connections (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  -- NULL for who has no device.
  device_id text,
  conn_id text NOT NULL,
  -- The state that the client is known to have had, and those that were made from it since.
  base bigint NOT NULL DEFAULT 0,
  tips bigint[] NOT NULL DEFAULT '{}',
  last_state bigint NOT NULL DEFAULT 0,
  -- The sets of required state that rooms name by their places here, from 1 on.
  configs text[] NOT NULL DEFAULT '{}',
  -- To the hour.
  used timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX sliding_connections_device ON sliding_connections (user_nid, device_id);
CREATE INDEX sliding_connections_used ON sliding_connections (used);

-- What a connection was sent of a room, as of a state: of each room the row of the latest state counts. Rows of rooms that
-- were purged stay with the connection: they say nothing of the room, and an index to find them would cost with each write.
CREATE TABLE sliding_rooms (
  connection bigint NOT NULL REFERENCES sliding_connections (nid) ON DELETE CASCADE,
  room_nid bigint NOT NULL,
  state bigint NOT NULL,
  -- NULL: everything up to the position of the client's token; else up to this position.
  sent bigint,
  -- How many of the latest events the client has at least.
  timeline_limit integer NOT NULL,
  config smallint NOT NULL,
  membership smallint NOT NULL,
  -- Bits of the extensions that the client is kept up to date with.
  extensions smallint NOT NULL,
  is_dm boolean NOT NULL,
  -- Members sent because they were seen.
  members bigint[] NOT NULL,
  PRIMARY KEY (connection, room_nid, state)
);

-- Writes the state that follows another one, and gives its number: NULL if the other is kept no longer, or if the client asked
-- for more different things than are remembered.
CREATE FUNCTION store_sliding_state(
  conn bigint, from_state bigint, texts text[], rooms bigint[], sents bigint[], limits integer[], configs_of integer[],
  memberships smallint[], extension_bits smallint[], dms boolean[], members_of text[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  c sliding_connections;
  places integer[] := '{}';
  place integer;
  one text;
BEGIN
  SELECT * INTO c FROM sliding_connections WHERE nid = conn FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF from_state <> c.base THEN
    IF NOT from_state = ANY (c.tips) THEN RETURN NULL; END IF;
    -- The client has it: what else was made from the state before is not wanted any more, nor what it replaces.
    DELETE FROM sliding_rooms WHERE connection = conn AND state = ANY (c.tips) AND state <> from_state;
    DELETE FROM sliding_rooms old USING sliding_rooms new
      WHERE new.connection = conn AND new.state = from_state AND old.connection = conn AND old.room_nid = new.room_nid
        AND old.state < from_state;
    c.base := from_state;
    c.tips := '{}';
  END IF;
  IF cardinality(c.tips) >= 2 THEN
    DELETE FROM sliding_rooms WHERE connection = conn AND state = c.tips[1];
    c.tips := c.tips[2:];
  END IF;
  FOREACH one IN ARRAY texts LOOP
    place := array_position(c.configs, one);
    IF place IS NULL THEN
      c.configs := c.configs || one;
      place := cardinality(c.configs);
    END IF;
    places := places || place;
  END LOOP;
  IF cardinality(c.configs) > 256 OR pg_column_size(c.configs) > 1000000 THEN RETURN NULL; END IF;
  c.last_state := c.last_state + 1;
  INSERT INTO sliding_rooms (connection, room_nid, state, sent, timeline_limit, config, membership, extensions, is_dm, members)
    SELECT conn, room, c.last_state, sent, timeline_limit, places[config], membership, bits, is_dm, members::bigint[]
    FROM unnest(rooms, sents, limits, configs_of, memberships, extension_bits, dms, members_of)
      AS row (room, sent, timeline_limit, config, membership, bits, is_dm, members);
  UPDATE sliding_connections SET base = c.base, tips = c.tips || c.last_state, last_state = c.last_state, configs = c.configs,
      used = CASE WHEN used < now() - interval '1 hour' THEN now() ELSE used END
    WHERE nid = conn;
  RETURN c.last_state;
END
$$;
