-- The OAuth 2.0 API. Times are milliseconds since 1970. Codes and tokens are stored as their SHA-256 only.

-- Clients that registered themselves; the same metadata is one client.
CREATE TABLE oauth_clients (
  client_id text PRIMARY KEY,
  digest bytea NOT NULL UNIQUE,
  -- JSON text: what was registered.
  metadata text NOT NULL,
  -- When it last registered or was let in somewhere.
  used_ts bigint NOT NULL
);
CREATE INDEX oauth_clients_used ON oauth_clients (used_ts);

-- Tokens that a client got through OAuth, and for which scope.
ALTER TABLE access_tokens
  ADD COLUMN oauth_client_id text REFERENCES oauth_clients (client_id),
  ADD COLUMN oauth_scope text;
CREATE INDEX access_tokens_oauth_client ON access_tokens (oauth_client_id) WHERE oauth_client_id IS NOT NULL;

-- Refresh tokens that were used up: whoever shows one again has stolen it, or was stolen from.
CREATE TABLE oauth_spent_tokens (
  refresh_digest bytea PRIMARY KEY,
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  expires_ts bigint NOT NULL,
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
CREATE INDEX oauth_spent_tokens_device ON oauth_spent_tokens (user_nid, device_id);
CREATE INDEX oauth_spent_tokens_expires ON oauth_spent_tokens (expires_ts);

-- Authorisation codes. Those that were used stay until they expire, so that a second use is noticed.
CREATE TABLE oauth_codes (
  digest bytea PRIMARY KEY,
  client_id text NOT NULL REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  device_id text NOT NULL,
  scope text NOT NULL,
  redirect_uri text NOT NULL,
  code_challenge text NOT NULL,
  nonce text,
  used boolean NOT NULL DEFAULT false,
  expires_ts bigint NOT NULL
);
CREATE INDEX oauth_codes_expires ON oauth_codes (expires_ts);
CREATE INDEX oauth_codes_client ON oauth_codes (client_id);
CREATE INDEX oauth_codes_user ON oauth_codes (user_nid);

-- Device authorisations (RFC 8628).
CREATE TABLE oauth_device_codes (
  digest bytea PRIMARY KEY,
  user_code text NOT NULL UNIQUE,
  client_id text NOT NULL REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
  device_id text NOT NULL,
  scope text NOT NULL,
  -- Seconds that the client has to wait between two questions.
  interval_seconds integer NOT NULL,
  asked_ts bigint NOT NULL DEFAULT 0,
  -- NULL: the user has not decided yet.
  allowed boolean,
  user_nid bigint REFERENCES accounts (user_nid) ON DELETE CASCADE,
  expires_ts bigint NOT NULL
);
CREATE INDEX oauth_device_codes_expires ON oauth_device_codes (expires_ts);
CREATE INDEX oauth_device_codes_client ON oauth_device_codes (client_id);
CREATE INDEX oauth_device_codes_user ON oauth_device_codes (user_nid);

-- Browsers in which somebody is logged in to the pages of this server.
CREATE TABLE browser_sessions (
  digest bytea PRIMARY KEY,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  created_ts bigint NOT NULL,
  expires_ts bigint NOT NULL
);
CREATE INDEX browser_sessions_user ON browser_sessions (user_nid);
CREATE INDEX browser_sessions_expires ON browser_sessions (expires_ts);

-- Another password, a lock and the end of an account end them, whoever brings that about.
CREATE FUNCTION end_browser_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM browser_sessions WHERE user_nid = NEW.user_nid;
  DELETE FROM oauth_codes WHERE user_nid = NEW.user_nid;
  DELETE FROM oauth_device_codes WHERE user_nid = NEW.user_nid;
  RETURN NULL;
END $$;
CREATE TRIGGER accounts_end_browser_sessions AFTER UPDATE OF password_hash, deactivated_ts, locked ON accounts
  FOR EACH ROW WHEN (OLD.password_hash IS DISTINCT FROM NEW.password_hash
    OR OLD.deactivated_ts IS DISTINCT FROM NEW.deactivated_ts OR OLD.locked IS DISTINCT FROM NEW.locked)
  EXECUTE FUNCTION end_browser_sessions();

-- The key that signs identity tokens, sealed under the secret key (PKCS #8).
CREATE TABLE oauth_keys (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  key_id text NOT NULL,
  sealed bytea NOT NULL
);
