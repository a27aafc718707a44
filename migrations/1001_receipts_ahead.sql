-- Receipts of other servers' users on events that are not here, or not yet: of each user in a room the latest.
CREATE TABLE receipts_ahead (
  room_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  event_id text NOT NULL,
  -- WHOLE_ROOM or MAIN_TIMELINE, as in receipts.
  thread bigint NOT NULL,
  ts bigint NOT NULL,
  last_position bigint NOT NULL,
  PRIMARY KEY (room_nid, user_nid)
) WITH (fillfactor = 70);
CREATE INDEX receipts_ahead_changed ON receipts_ahead (room_nid, last_position);
