-- Room aliases of our servers.
CREATE TABLE room_aliases (
  alias text PRIMARY KEY,
  room_nid bigint NOT NULL,
  creator_nid bigint NOT NULL
);
CREATE INDEX room_aliases_room ON room_aliases (room_nid);

-- The rooms that each of our servers publishes in its directory.
CREATE TABLE published_rooms (
  server_name text NOT NULL,
  room_nid bigint NOT NULL,
  PRIMARY KEY (server_name, room_nid)
);
