-- The rooms that replace others, written together with their first events: who asks again for the same upgrade gets the
-- same room.
CREATE TABLE room_upgrades (
  room_nid bigint NOT NULL,
  version text NOT NULL,
  replacement_nid bigint NOT NULL,
  PRIMARY KEY (room_nid, version)
);
