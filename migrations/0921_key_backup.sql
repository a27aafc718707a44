-- Backups of users' room keys. A version that was deleted stays as a row, so that deleting it again is no error.
CREATE TABLE key_backups (
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  version bigint NOT NULL,
  algorithm text NOT NULL,
  -- JSON text.
  auth_data text NOT NULL,
  deleted boolean NOT NULL DEFAULT false,
  -- How many keys there are, and how often they have changed.
  keys bigint NOT NULL DEFAULT 0,
  changes bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (user_nid, version)
);
CREATE TABLE key_backup_keys (
  user_nid bigint NOT NULL,
  version bigint NOT NULL,
  room_id text NOT NULL,
  session_id text NOT NULL,
  first_message_index bigint NOT NULL,
  forwarded_count bigint NOT NULL,
  is_verified boolean NOT NULL,
  -- JSON text.
  session_data text NOT NULL,
  PRIMARY KEY (user_nid, version, room_id, session_id),
  FOREIGN KEY (user_nid, version) REFERENCES key_backups (user_nid, version) ON DELETE CASCADE
);
