-- What users reported: a room, an event in a room, or another user.
CREATE TABLE reports (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received timestamptz NOT NULL DEFAULT now(),
  reporter_nid bigint NOT NULL,
  room_nid bigint,
  event_nid bigint,
  user_nid bigint,
  reason text,
  score integer
);
