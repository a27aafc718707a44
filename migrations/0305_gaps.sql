-- Gaps of a room's history: what became of a missing event, and when its servers are asked for it again.
ALTER TABLE missing_events ADD COLUMN event_nid bigint, ADD COLUMN attempts integer, ADD COLUMN due_ts bigint;
UPDATE missing_events m SET event_nid = e.nid FROM events e
  WHERE e.event_id = m.event_id AND e.room_nid = m.room_nid AND e.flags & 1 = 0;
CREATE INDEX missing_events_open ON missing_events (room_nid) WHERE event_nid IS NULL;
-- Walks along previous events that came later than what names them.
CREATE INDEX missing_events_named_by ON missing_events (named_by);
