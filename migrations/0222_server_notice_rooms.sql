-- The room in which each user hears from the server, written together with the room.
CREATE TABLE server_notice_rooms (
  user_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL
);
