-- What each application service has been told. Its place in the log is the cursor `appservice:` and its id.
CREATE TABLE appservices (
  id text PRIMARY KEY,
  -- The process that tells it, as long as it lives.
  owner bigint,
  -- Which users `appservice_members` was made for.
  users_digest text NOT NULL DEFAULT '',
  -- Attempts that have failed since the last that did not, and when the next is due (milliseconds since 1970).
  failures integer NOT NULL DEFAULT 0,
  retry_ts bigint NOT NULL DEFAULT 0
);

-- What it has yet to be told, in this order. A transaction that was begun is never changed.
CREATE TABLE appservice_transactions (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  appservice text NOT NULL REFERENCES appservices (id) ON DELETE CASCADE,
  txn_id text NOT NULL,
  body text NOT NULL
);
CREATE INDEX appservice_transactions_next ON appservice_transactions (appservice, nid);

-- Its users who were joined to a room at the cursor: what happens there concerns it.
CREATE TABLE appservice_members (
  appservice text NOT NULL REFERENCES appservices (id) ON DELETE CASCADE,
  room_nid bigint NOT NULL,
  user_nid bigint NOT NULL,
  PRIMARY KEY (appservice, room_nid, user_nid)
);
