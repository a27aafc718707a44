-- Sticky events that the state of their room did not allow when they came: once it does, they are told (MSC4354). Milliseconds since 1970.
CREATE TABLE soft_failed_sticky (
  event_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  expires_ts bigint NOT NULL
);
CREATE INDEX soft_failed_sticky_room ON soft_failed_sticky (room_nid, event_nid);
CREATE INDEX soft_failed_sticky_expires ON soft_failed_sticky (expires_ts);
