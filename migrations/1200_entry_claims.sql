-- Who writes the state of a room that is joined is noted while it does; the rest is for whichever process takes it up.
CREATE OR REPLACE FUNCTION begin_partial_state(room bigint, entry text, names text[], now_ts bigint) RETURNS void LANGUAGE plpgsql AS $$
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
      usable_ts = now_ts, finished_ts = NULL, attempts = 0, error = NULL, due_ts = 0, claimed_by = NULL
    WHERE room_nid = room;
  PERFORM count_unknown_members(room, names, 1);
END
$$;
