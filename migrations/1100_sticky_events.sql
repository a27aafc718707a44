-- Events that are told whatever timelines leave out, until they expire (MSC4354). Times are milliseconds since 1970.
CREATE TABLE sticky_events (
  event_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  position bigint NOT NULL,
  expires_ts bigint NOT NULL
);
CREATE INDEX sticky_events_room ON sticky_events (room_nid, position, event_nid);
CREATE INDEX sticky_events_expires ON sticky_events (expires_ts);

-- For how long a delayed event is to be sticky once it is sent.
ALTER TABLE delayed_events ADD COLUMN sticky_duration_ms bigint;
