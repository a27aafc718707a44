-- What clients keep with the account, and what they say of rooms beside events. Each row tells the position of its last
-- change; /sync shows the rows of a range of positions.

-- room_nid 0 is data of the account as a whole. `content` is JSON.
CREATE TABLE account_data (
  user_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  type text NOT NULL,
  content text NOT NULL,
  last_position bigint NOT NULL,
  PRIMARY KEY (user_nid, room_nid, type)
) WITH (fillfactor = 80);
CREATE INDEX account_data_changed ON account_data (user_nid, last_position);

-- kind: 1 m.read, 2 m.read.private, 3 implied by what the user did in the room (never shown).
-- thread: the root, 0 the main timeline, -1 the whole room.
CREATE TABLE receipts (
  room_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  thread bigint NOT NULL,
  kind smallint NOT NULL,
  event_nid bigint NOT NULL,
  -- The event's place in the live timeline; 0 for what is before it.
  ordinal bigint NOT NULL,
  ts bigint NOT NULL,
  last_position bigint NOT NULL,
  PRIMARY KEY (room_nid, user_nid, thread, kind)
) WITH (fillfactor = 70);
CREATE INDEX receipts_changed ON receipts (room_nid, last_position) WHERE kind < 3;

-- The rules of users who changed any. `rules` is JSON.
CREATE TABLE push_rules (
  user_nid bigint PRIMARY KEY,
  rules text NOT NULL,
  last_position bigint NOT NULL
);

-- state: 1 online, 2 unavailable, 3 offline.
CREATE TABLE presence (
  user_nid bigint PRIMARY KEY,
  state smallint NOT NULL,
  status_msg text,
  last_active_ts bigint NOT NULL,
  currently_active boolean NOT NULL,
  last_position bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX presence_changed ON presence (last_position);
CREATE INDEX presence_not_offline ON presence (user_nid) WHERE state <> 3;
