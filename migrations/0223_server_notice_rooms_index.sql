-- Whether a room is one of these, which nobody with an account may be in.
CREATE UNIQUE INDEX server_notice_rooms_room ON server_notice_rooms (room_nid);
