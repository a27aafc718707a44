-- How it stands with the servers that we send to.
CREATE TABLE destinations (
  server_name text PRIMARY KEY,
  -- Failures in a row, and when it is tried again (milliseconds since 1970).
  failures integer NOT NULL DEFAULT 0,
  first_failure_ts bigint,
  retry_ts bigint NOT NULL DEFAULT 0,
  -- Whether anything is owed, and the last position at which it came to be.
  due boolean NOT NULL DEFAULT true,
  owed_position bigint NOT NULL,
  -- Set while the server has been away for so long that nothing is kept for it: it is brought up to date from here.
  catch_up_after bigint,
  -- Which process sends to it, and until when.
  claimed_by bigint,
  claimed_until_ts bigint NOT NULL DEFAULT 0
);
CREATE INDEX destinations_due ON destinations (retry_ts) WHERE due;
-- Events that are owed to servers.
CREATE TABLE owed_events (
  destination text NOT NULL,
  position bigint NOT NULL,
  event_nid bigint NOT NULL,
  PRIMARY KEY (destination, position, event_nid)
);
-- Ephemeral messages that are owed to servers: of each kind and key the latest.
CREATE TABLE owed_edus (
  destination text NOT NULL,
  edu_type text NOT NULL,
  key text NOT NULL,
  position bigint NOT NULL,
  -- In the name of which of our servers.
  origin text NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (destination, edu_type, key)
);
