-- Redactions of events that are not here, or whose place in the room is not known: they take effect when the event comes.
CREATE TABLE pending_redactions (
  room_nid bigint NOT NULL,
  event_id text NOT NULL,
  redaction_nid bigint NOT NULL,
  PRIMARY KEY (room_nid, event_id, redaction_nid)
);
