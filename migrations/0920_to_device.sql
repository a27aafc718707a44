-- Messages to devices of our users, kept until the device shows a token that came with them. `nid` is drawn while the log is
-- locked, so that it has the order of the positions. No foreign key: it would make the log wait for whoever deletes a device;
-- who does deletes these at the position at which the device goes.
CREATE TABLE to_device_messages (
  nid bigint GENERATED ALWAYS AS IDENTITY,
  user_nid bigint NOT NULL,
  device_id text NOT NULL,
  position bigint NOT NULL,
  -- The event as JSON text: type, sender and content.
  event text NOT NULL,
  PRIMARY KEY (user_nid, device_id, position, nid)
);
-- What was sent before, so that sending again does nothing: digests of a device's transaction id, or of a server's message id.
CREATE TABLE to_device_sent (
  key bytea PRIMARY KEY,
  created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX to_device_sent_created ON to_device_sent (created);
-- Messages to devices elsewhere, from when they were sent to when the log is read for their servers.
CREATE TABLE to_device_outbox (
  position bigint NOT NULL,
  message_id text NOT NULL,
  destination text NOT NULL,
  -- In the name of which of our servers.
  origin text NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (position, message_id)
);
-- A server that is away may be owed many of them.
CREATE INDEX owed_edus_position ON owed_edus (destination, position);
