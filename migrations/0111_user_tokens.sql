-- Tokens that say who somebody is, for a short time: to log in once (kind 1), to other services (kind 2, OpenID).
CREATE TABLE user_tokens (
  digest bytea PRIMARY KEY,
  kind smallint NOT NULL,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  expires_ts bigint NOT NULL
);
CREATE INDEX user_tokens_expires ON user_tokens (expires_ts);
CREATE INDEX user_tokens_user ON user_tokens (user_nid);
