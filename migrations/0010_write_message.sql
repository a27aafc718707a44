-- Writes what is by far the most common change: one message of one local user that is counted by the predefined rules
-- alone, or not at all. It does what write_counts and write_changes do with the same rows, in the same order, but takes them as plain
-- values: for single rows the JSON costs more than the writing. Without transaction id `new_key` is NULL; for an event that
-- does not count `new_notifies` is.
CREATE FUNCTION write_message(
  known_revision bigint, known_owner bigint, new_extremities bigint[],
  new_nid bigint, room bigint, new_event_id text, new_type_nid integer, sender bigint, new_depth bigint, sent_ts bigint, place bigint,
  new_state_before bigint, new_prev_nids bigint[], new_auth_nids bigint[], new_relates_to bigint, new_rel_type_nid integer,
  new_thread_root bigint, new_thread_ordinal bigint, body text,
  new_key bytea, device text, new_txn_id text,
  new_notifies boolean, new_highlights boolean, new_notified bigint, new_highlighted bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  scope bigint := coalesce(new_thread_root, 0);
  here bigint;
BEGIN
  IF new_notifies IS NOT NULL THEN
    INSERT INTO counted_events (room_nid, thread, ordinal, notifies, highlights, notified, highlighted)
      VALUES (room, scope, place, new_notifies, new_highlights, new_notified, new_highlighted);
    INSERT INTO counted_scopes (room_nid, thread, last_ordinal, notified, highlighted)
      VALUES (room, scope, place, new_notified, new_highlighted)
      ON CONFLICT (room_nid, thread) DO UPDATE SET last_ordinal = excluded.last_ordinal, notified = excluded.notified,
        highlighted = excluded.highlighted;
  END IF;
  INSERT INTO receipts (room_nid, user_nid, thread, kind, event_nid, ordinal, ts, last_position)
    VALUES (room, sender, scope, 3, new_nid, place, sent_ts, 0)
    ON CONFLICT (room_nid, user_nid, thread, kind) DO UPDATE SET event_nid = excluded.event_nid,
      ordinal = excluded.ordinal, ts = excluded.ts;
  UPDATE rooms SET revision = rooms.revision + 1, extremities = new_extremities, ordinal = place
    WHERE rooms.nid = room AND rooms.revision = known_revision AND rooms.owner = known_owner;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'a room was changed by another owner' USING ERRCODE = 'HA001';
  END IF;
  IF new_key IS NOT NULL THEN
    INSERT INTO transaction_ids (key, event_nid, user_nid, device_id, txn_id)
      VALUES (new_key, new_nid, sender, device, new_txn_id);
  END IF;
  INSERT INTO message_json (nid, json) VALUES (new_nid, body);

  PERFORM pg_advisory_xact_lock(1751215731);
  here := nextval('log_position');
  INSERT INTO events (nid, room_nid, event_id, type_nid, sender_nid, depth, origin_server_ts, position, ordinal, flags,
      state_before, prev_nids, auth_nids, relates_to, rel_type_nid, thread_root, thread_ordinal)
    VALUES (new_nid, room, new_event_id, new_type_nid, sender, new_depth, sent_ts, here, place, 0,
      new_state_before, new_prev_nids, new_auth_nids, new_relates_to, new_rel_type_nid, new_thread_root, new_thread_ordinal);
  INSERT INTO log (position, index, kind, room_nid, reference) VALUES (here, 1, 1, room, new_nid);
  RETURN here;
END
$$;
