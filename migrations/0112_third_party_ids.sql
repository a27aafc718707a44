-- Addresses by which users can be reached and recognised. Each belongs to one account of a server.
CREATE TABLE third_party_ids (
  server_name text NOT NULL,
  medium text NOT NULL,
  address text NOT NULL,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  validated_ts bigint NOT NULL,
  added_ts bigint NOT NULL,
  PRIMARY KEY (server_name, medium, address)
);
CREATE INDEX third_party_ids_user ON third_party_ids (user_nid);

-- Somebody who says that an address is theirs, until they have proved it and used that. What is sent to the address is
-- derived from the session and the key of the deployment: it is not stored.
CREATE TABLE validation_sessions (
  sid text PRIMARY KEY,
  server_name text NOT NULL,
  -- What it can be used for: register, password, account.
  purpose text NOT NULL,
  medium text NOT NULL,
  address text NOT NULL,
  secret_digest bytea NOT NULL,
  send_attempt bigint NOT NULL,
  next_link text,
  tries integer NOT NULL DEFAULT 0,
  validated_ts bigint,
  expires_ts bigint NOT NULL,
  UNIQUE (server_name, purpose, medium, address, secret_digest)
);
CREATE INDEX validation_sessions_expires ON validation_sessions (expires_ts);

-- Mails and text messages that have yet to be delivered. `sealed` is JSON, sealed: it holds addresses and links.
CREATE TABLE outbox (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sealed bytea NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- When it is tried next; while a process is at work on it, when that is taken for dead.
  due_ts bigint NOT NULL,
  -- After that it is of no use.
  expires_ts bigint NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_ts);
