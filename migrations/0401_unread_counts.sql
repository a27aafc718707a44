-- Unread counts. Scopes of a room are its threads (by their root) and the main timeline (0). All of it can be rebuilt.

-- The events that count for whoever has the predefined rules, with the running numbers of their scope.
CREATE TABLE counted_events (
  room_nid bigint NOT NULL,
  thread bigint NOT NULL,
  ordinal bigint NOT NULL,
  notifies boolean NOT NULL,
  highlights boolean NOT NULL,
  notified bigint NOT NULL,
  highlighted bigint NOT NULL,
  PRIMARY KEY (room_nid, thread, ordinal)
);

-- The running numbers now, and the last place in the scope at which anybody's counts changed.
CREATE TABLE counted_scopes (
  room_nid bigint NOT NULL,
  thread bigint NOT NULL,
  last_ordinal bigint NOT NULL,
  notified bigint NOT NULL,
  highlighted bigint NOT NULL,
  PRIMARY KEY (room_nid, thread)
) WITH (fillfactor = 70);

-- Where an event counts differently for a user; user 0 is everyone (a redacted event counts for nobody).
CREATE TABLE count_exceptions (
  room_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  thread bigint NOT NULL,
  ordinal bigint NOT NULL,
  notify smallint NOT NULL,
  highlight smallint NOT NULL,
  PRIMARY KEY (room_nid, user_nid, thread, ordinal)
);
CREATE INDEX count_exceptions_event ON count_exceptions (room_nid, ordinal);

-- Writes what changes of rooms mean for counts, before the log is locked. Each argument holds rows, or is NULL.
CREATE FUNCTION write_counts(
  new_counted_events json, new_counted_scopes json, new_count_exceptions json, new_implied_receipts json, uncounted_events json
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF new_counted_events IS NOT NULL THEN
    INSERT INTO counted_events SELECT * FROM json_populate_recordset(NULL::counted_events, new_counted_events);
  END IF;
  IF new_counted_scopes IS NOT NULL THEN
    INSERT INTO counted_scopes SELECT * FROM json_populate_recordset(NULL::counted_scopes, new_counted_scopes)
      ON CONFLICT (room_nid, thread) DO UPDATE SET last_ordinal = excluded.last_ordinal, notified = excluded.notified,
        highlighted = excluded.highlighted;
  END IF;
  IF new_count_exceptions IS NOT NULL THEN
    INSERT INTO count_exceptions SELECT * FROM json_populate_recordset(NULL::count_exceptions, new_count_exceptions);
  END IF;
  IF new_implied_receipts IS NOT NULL THEN
    INSERT INTO receipts (room_nid, user_nid, thread, kind, event_nid, ordinal, ts, last_position)
      SELECT room_nid, user_nid, thread, 3, event_nid, ordinal, ts, 0
      FROM json_to_recordset(new_implied_receipts)
        AS row (room_nid bigint, user_nid bigint, thread bigint, event_nid bigint, ordinal bigint, ts bigint)
      ON CONFLICT (room_nid, user_nid, thread, kind) DO UPDATE SET event_nid = excluded.event_nid,
        ordinal = excluded.ordinal, ts = excluded.ts;
  END IF;
  IF uncounted_events IS NOT NULL THEN
    -- What the redacted events counted for single users goes; what they counted for everyone is taken back.
    DELETE FROM count_exceptions USING json_to_recordset(uncounted_events) AS row (nid bigint), events
      WHERE events.nid = row.nid AND count_exceptions.room_nid = events.room_nid
        AND count_exceptions.ordinal = events.ordinal AND count_exceptions.user_nid <> 0;
    INSERT INTO count_exceptions (room_nid, user_nid, thread, ordinal, notify, highlight)
      SELECT DISTINCT counted.room_nid, 0, counted.thread, counted.ordinal, -counted.notifies::integer, -counted.highlights::integer
      FROM json_to_recordset(uncounted_events) AS row (nid bigint)
        JOIN events ON events.nid = row.nid
        JOIN counted_events AS counted ON counted.room_nid = events.room_nid
          AND counted.thread = coalesce(events.thread_root, 0) AND counted.ordinal = events.ordinal
      ON CONFLICT DO NOTHING;
  END IF;
END
$$;
