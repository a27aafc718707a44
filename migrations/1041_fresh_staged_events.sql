-- What waits for a room beyond what a process keeps in its memory is read in the order in which it came.
CREATE INDEX staged_events_fresh ON staged_events (room_id, nid) WHERE attempts = 0;
