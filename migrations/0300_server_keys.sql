-- The signing keys of other servers, as they were last published. A key that its server has retired keeps `expired_ts`.
CREATE TABLE server_keys (
  server_name text NOT NULL,
  key_id text NOT NULL,
  public_key text NOT NULL,
  valid_until_ts bigint NOT NULL,
  expired_ts bigint,
  fetched_ts bigint NOT NULL,
  PRIMARY KEY (server_name, key_id)
);
-- What a server said about its keys, signed by it: what we pass on as a notary.
CREATE TABLE server_key_documents (
  server_name text PRIMARY KEY,
  document text NOT NULL,
  valid_until_ts bigint NOT NULL,
  fetched_ts bigint NOT NULL
);
