-- What the servers of a room that we are not in have told an invited or knocking user of it: stripped state, as JSON text.
CREATE TABLE offered_state (
  user_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  events text NOT NULL,
  PRIMARY KEY (user_nid, room_nid)
);
