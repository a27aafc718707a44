-- Login through other providers of identities (OpenID Connect). Times are milliseconds since 1970.

-- Logins that are under way at a provider.
CREATE TABLE external_logins (
  -- Of the state that the provider shows again.
  digest bytea PRIMARY KEY,
  provider text NOT NULL,
  -- Of the cookie of the browser that began it: it ends in no other.
  browser bytea NOT NULL,
  verifier text NOT NULL,
  nonce text NOT NULL,
  -- The page of ours that is wanted afterwards.
  next text NOT NULL,
  expires_ts bigint NOT NULL
);
CREATE INDEX external_logins_expires ON external_logins (expires_ts);

-- Sessions at providers, with which what came about through them ends.
CREATE TABLE external_sessions (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider text NOT NULL,
  subject text NOT NULL,
  -- What the provider calls the session, if it says so.
  sid text,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  created_ts bigint NOT NULL
);
CREATE INDEX external_sessions_subject ON external_sessions (provider, subject);
CREATE INDEX external_sessions_sid ON external_sessions (provider, sid) WHERE sid IS NOT NULL;
CREATE INDEX external_sessions_user ON external_sessions (user_nid);
CREATE INDEX external_sessions_created ON external_sessions (created_ts);

ALTER TABLE browser_sessions ADD COLUMN external_session bigint REFERENCES external_sessions (nid) ON DELETE CASCADE;
CREATE INDEX browser_sessions_external ON browser_sessions (external_session) WHERE external_session IS NOT NULL;
ALTER TABLE oauth_codes ADD COLUMN external_session bigint REFERENCES external_sessions (nid) ON DELETE CASCADE;
CREATE INDEX oauth_codes_external ON oauth_codes (external_session) WHERE external_session IS NOT NULL;
ALTER TABLE oauth_device_codes ADD COLUMN external_session bigint REFERENCES external_sessions (nid) ON DELETE CASCADE;
CREATE INDEX oauth_device_codes_external ON oauth_device_codes (external_session) WHERE external_session IS NOT NULL;
ALTER TABLE user_tokens ADD COLUMN external_session bigint REFERENCES external_sessions (nid) ON DELETE CASCADE;
CREATE INDEX user_tokens_external ON user_tokens (external_session) WHERE external_session IS NOT NULL;
ALTER TABLE devices ADD COLUMN external_session bigint REFERENCES external_sessions (nid) ON DELETE SET NULL;
CREATE INDEX devices_external ON devices (external_session) WHERE external_session IS NOT NULL;
