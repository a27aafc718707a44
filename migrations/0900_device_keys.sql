-- Identity keys of our users' devices, as JSON text; signatures that were added later are in key_signatures.
CREATE TABLE device_keys (
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  keys text NOT NULL,
  PRIMARY KEY (user_nid, device_id),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
-- One-time keys that nobody has claimed. `nid` is the order in which they are given out, `key` canonical JSON.
CREATE TABLE one_time_keys (
  nid bigint GENERATED ALWAYS AS IDENTITY,
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  key text NOT NULL,
  PRIMARY KEY (user_nid, device_id, algorithm, key_id),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
CREATE INDEX one_time_keys_order ON one_time_keys (user_nid, device_id, algorithm, nid);
-- Those that were claimed not long ago: a client that sends an upload again must not bring them back.
CREATE TABLE claimed_one_time_keys (
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  key text NOT NULL,
  claimed timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_nid, device_id, algorithm, key_id),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
CREATE INDEX claimed_one_time_keys_claimed ON claimed_one_time_keys (claimed);
CREATE TABLE fallback_keys (
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  key text NOT NULL,
  used boolean NOT NULL DEFAULT false,
  PRIMARY KEY (user_nid, device_id, algorithm),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
-- usage: 1 master, 2 self-signing, 3 user-signing. Of users of ours and, the first two, of others' whom we follow.
CREATE TABLE cross_signing_keys (
  user_nid bigint NOT NULL,
  usage smallint NOT NULL,
  public_key text NOT NULL,
  key text NOT NULL,
  PRIMARY KEY (user_nid, usage)
);
-- Signatures by users of ours. target: the device, or the public master key, of user_nid.
CREATE TABLE key_signatures (
  user_nid bigint NOT NULL,
  target text NOT NULL,
  signer_nid bigint NOT NULL,
  key_id text NOT NULL,
  signature text NOT NULL,
  PRIMARY KEY (user_nid, target, signer_nid, key_id)
);
CREATE INDEX key_signatures_signer ON key_signatures (signer_nid);
-- Whose keys a user has signed, for the other devices of that user.
CREATE TABLE signed_users (
  signer_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  last_position bigint NOT NULL,
  PRIMARY KEY (signer_nid, user_nid)
);

-- When the keys of each user's devices, or the user's own, were last changed. stream_id and previous are what other servers
-- are told of our users: the number of the latest change of a device, and of the one before the changes of that position.
CREATE TABLE device_lists (
  user_nid bigint PRIMARY KEY,
  last_position bigint NOT NULL DEFAULT 0,
  stream_id bigint NOT NULL DEFAULT 0,
  previous bigint NOT NULL DEFAULT 0,
  stream_position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX device_lists_changed ON device_lists (last_position);

-- The devices of other servers' users of whom somebody here has asked. They count while we shared a room with the user from
-- the position `fetched` on; `changes` counts what their server has told us, so that an answer which crossed it is not kept.
CREATE TABLE remote_device_lists (
  user_nid bigint PRIMARY KEY,
  stream_id bigint,
  fetched bigint NOT NULL,
  stale boolean NOT NULL,
  changes bigint NOT NULL DEFAULT 0,
  failures integer NOT NULL DEFAULT 0,
  retry_ts bigint NOT NULL DEFAULT 0
);
CREATE INDEX remote_device_lists_stale ON remote_device_lists (retry_ts) WHERE stale;
CREATE TABLE remote_device_keys (
  user_nid bigint NOT NULL REFERENCES remote_device_lists (user_nid) ON DELETE CASCADE,
  device_id text NOT NULL,
  keys text,
  display_name text,
  PRIMARY KEY (user_nid, device_id)
);
