-- Where two clients of a user meet that cannot reach each other (QR sign-in, MSC4108 and MSC4388). What they leave for
-- each other is encrypted.
CREATE TABLE rendezvous (
  id text PRIMARY KEY,
  data bytea NOT NULL,
  version integer NOT NULL DEFAULT 1,
  -- The last change, so that it can be asked for again.
  transaction_id text,
  -- Milliseconds since 1970.
  expires_ts bigint NOT NULL
);
CREATE INDEX rendezvous_expires ON rendezvous (expires_ts);
