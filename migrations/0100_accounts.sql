-- Times are milliseconds since 1970, given by the process. Tokens are stored as their SHA-256 only.
CREATE TABLE accounts (
  user_nid bigint PRIMARY KEY REFERENCES users (nid),
  -- NULL: no password lets this user in.
  password_hash text,
  is_admin boolean NOT NULL DEFAULT false,
  created_ts bigint NOT NULL,
  deactivated_ts bigint,
  erased boolean NOT NULL DEFAULT false
);

CREATE TABLE devices (
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  device_id text NOT NULL,
  display_name text,
  created_ts bigint NOT NULL,
  last_seen_ts bigint,
  last_seen_ip text,
  last_seen_user_agent text,
  PRIMARY KEY (user_nid, device_id)
) WITH (fillfactor = 80);

-- An access token and the refresh token given with it.
CREATE TABLE access_tokens (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  access_digest bytea NOT NULL UNIQUE,
  refresh_digest bytea UNIQUE,
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  expires_ts bigint,
  refresh_expires_ts bigint,
  -- The pair that this one was given for. It stays valid until this one is first used: the answer may have been lost.
  replaces bigint,
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
CREATE INDEX access_tokens_device ON access_tokens (user_nid, device_id);
CREATE INDEX access_tokens_replaces ON access_tokens (replaces) WHERE replaces IS NOT NULL;

-- User-interactive authentication that is under way.
CREATE TABLE authentication_sessions (
  id text PRIMARY KEY,
  -- What the session can be completed for, and nothing else: a keyed digest of user, operation and body.
  purpose bytea NOT NULL,
  -- JSON: each completed stage with what it left to be done.
  completed text NOT NULL DEFAULT '{}',
  expires_ts bigint NOT NULL
);
CREATE INDEX authentication_sessions_expires ON authentication_sessions (expires_ts);

CREATE TABLE registration_tokens (
  token text PRIMARY KEY,
  uses_allowed integer,
  used integer NOT NULL DEFAULT 0,
  expires_ts bigint,
  created_ts bigint NOT NULL
);

CREATE TABLE registration_nonces (
  nonce text PRIMARY KEY,
  expires_ts bigint NOT NULL
);
CREATE INDEX registration_nonces_expires ON registration_nonces (expires_ts);

CREATE TABLE filters (
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  filter_id text NOT NULL,
  filter text NOT NULL,
  PRIMARY KEY (user_nid, filter_id)
);

-- One row per field; `value` is JSON.
CREATE TABLE profile_fields (
  user_nid bigint NOT NULL REFERENCES users (nid),
  name text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (user_nid, name)
);

-- Signing keys of our servers, sealed. One of each server is current; the others have expired.
CREATE TABLE signing_keys (
  server_name text NOT NULL,
  key_id text NOT NULL,
  sealed bytea NOT NULL,
  created_ts bigint NOT NULL,
  expired_ts bigint,
  PRIMARY KEY (server_name, key_id)
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (server_name) WHERE expired_ts IS NULL;
