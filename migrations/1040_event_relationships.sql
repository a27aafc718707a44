-- What events say that they relate to in `m.relationship` (MSC2836), whether we have that event or not. Filled from now on.
CREATE TABLE event_relationships (
  child_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  parent_id text NOT NULL,
  rel_type text NOT NULL
);
CREATE INDEX event_relationships_parent ON event_relationships (room_nid, parent_id);
