-- Rooms that are joined through other servers: how far that is, and which of them we know only a part of the state of (server-server
-- API, "Joining Rooms", `members_omitted`).

-- Since which position all of the room's state is known; NULL while it is not, 0 where it always was.
ALTER TABLE rooms ADD COLUMN whole_since bigint DEFAULT 0;

CREATE TABLE room_entries (
  room_nid bigint PRIMARY KEY,
  user_id text NOT NULL,
  -- Who let us in, and which servers it says are in the room.
  asked text NOT NULL,
  servers text[] NOT NULL DEFAULT '{}',
  -- The joins of ours before which the state is not known whole.
  entries bigint[] NOT NULL DEFAULT '{}',
  -- The position of the first of them, and which servers were in the room since without being known.
  entered bigint NOT NULL DEFAULT 0,
  missed text[] NOT NULL DEFAULT '{}',
  -- writing: its state is written; incomplete: in use, without all of its members; complete; given_up: nobody of ours is there any more.
  phase text NOT NULL,
  -- Events of the state and of what authorises it.
  written integer NOT NULL DEFAULT 0,
  expected integer NOT NULL DEFAULT 0,
  -- How often the rest was asked for in vain, why the last time, and when it is tried again (milliseconds since 1970).
  attempts integer NOT NULL DEFAULT 0,
  error text,
  due_ts bigint NOT NULL DEFAULT 0,
  -- The process that asks for it, as long as it lives.
  claimed_by bigint,
  started_ts bigint NOT NULL,
  usable_ts bigint,
  finished_ts bigint
);
CREATE INDEX room_entries_incomplete ON room_entries (due_ts) WHERE phase = 'incomplete';
CREATE INDEX room_entries_started ON room_entries (started_ts);

-- While it is not known who is in a room, each of its servers counts as if it had one member more than we know of.
CREATE FUNCTION count_unknown_members(room bigint, names text[], delta bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO joined_servers AS joined (room_nid, server_name, members, since)
    SELECT room, name, greatest(delta, 0), currval('log_position') FROM (SELECT DISTINCT unnest(names) AS name) given
  ON CONFLICT (room_nid, server_name) DO UPDATE SET
    members = joined.members + delta,
    since = CASE WHEN joined.members = 0 THEN excluded.since ELSE joined.since END,
    until = CASE WHEN joined.members + delta = 0 THEN excluded.since END;
$$;

-- Nothing of a room's state is missing any more, or nobody asks for it.
CREATE FUNCTION end_partial_state(room bigint, became text, unknown text[], now_ts bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM count_unknown_members(e.room_nid, e.servers, -1) FROM room_entries e JOIN rooms r ON r.nid = e.room_nid
    WHERE e.room_nid = room AND r.whole_since IS NULL;
  UPDATE rooms SET whole_since = currval('log_position') WHERE nid = room AND whole_since IS NULL;
  UPDATE room_entries SET phase = became, finished_ts = now_ts, usable_ts = coalesce(usable_ts, now_ts), error = NULL, claimed_by = NULL,
      servers = '{}', entries = '{}', missed = unknown
    WHERE room_nid = room;
END
$$;

-- A join of ours, just written, before which the state is known in part.
CREATE FUNCTION begin_partial_state(room bigint, entry text, names text[], now_ts bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  before bigint[] := '{}';
  start bigint := currval('log_position');
BEGIN
  IF (SELECT whole_since IS NULL FROM rooms WHERE nid = room) THEN
    SELECT entries, entered INTO before, start FROM room_entries WHERE room_nid = room;
    PERFORM end_partial_state(room, 'incomplete', '{}', now_ts);
  END IF;
  UPDATE rooms SET whole_since = NULL WHERE nid = room;
  UPDATE room_entries SET phase = 'incomplete', servers = names, entries = before || (SELECT nid FROM events WHERE event_id = entry), entered = start,
      usable_ts = now_ts, finished_ts = NULL, attempts = 0, error = NULL, due_ts = 0
    WHERE room_nid = room;
  PERFORM count_unknown_members(room, names, 1);
END
$$;

-- A thread forgets what is rejected later, and learns what is taken later after all.
DROP TRIGGER events_thread_purged ON events;
CREATE TRIGGER events_thread_purged AFTER UPDATE OF flags ON events
  FOR EACH ROW WHEN (NEW.relates_to IS NOT NULL AND OLD.flags = 0 AND NEW.flags & 10 <> 0 AND NEW.redacted_by IS NULL)
  EXECUTE FUNCTION uncount_in_thread();
CREATE TRIGGER events_thread_accepted AFTER UPDATE OF flags ON events
  FOR EACH ROW WHEN (NEW.relates_to IS NOT NULL AND OLD.flags <> 0 AND NEW.flags = 0 AND NEW.redacted_by IS NULL)
  EXECUTE FUNCTION count_in_thread();
