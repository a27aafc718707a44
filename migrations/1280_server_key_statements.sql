-- Statements of servers about keys that their newest statement does not name any more: what we pass on as a notary to those who ask for
-- such a key.
CREATE TABLE server_key_statements (
  server_name text NOT NULL,
  key_id text NOT NULL,
  document text NOT NULL,
  valid_until_ts bigint NOT NULL,
  fetched_ts bigint NOT NULL,
  PRIMARY KEY (server_name, key_id)
);
