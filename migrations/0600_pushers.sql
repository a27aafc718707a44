-- Where users want to be notified while no client of theirs listens. A pusher that a device has set goes with the device;
-- mails go on without one.
CREATE TABLE pushers (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  device_id text,
  app_id text NOT NULL,
  pushkey text NOT NULL,
  -- http or email.
  kind text NOT NULL,
  app_display_name text NOT NULL,
  device_display_name text NOT NULL,
  profile_tag text,
  lang text NOT NULL,
  -- JSON.
  data text NOT NULL,
  enabled boolean NOT NULL,
  set_ts bigint NOT NULL,
  -- What can be out of order for all pushers behind it at once: the origin of the address, or mailto: for mails.
  gateway text NOT NULL,
  -- The process that delivers for it now, and not before when it is tried again.
  process bigint,
  retry_ts bigint NOT NULL DEFAULT 0,
  failures integer NOT NULL DEFAULT 0,
  failing_since bigint,
  -- The unread count that the gateway was told last.
  badge bigint,
  UNIQUE (user_nid, app_id, pushkey),
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX pushers_key ON pushers (app_id, pushkey);
CREATE INDEX pushers_gateway ON pushers (gateway) WHERE failures > 0;

-- What pushers have yet to deliver: a row for each event, or without one where only the unread count has changed.
CREATE TABLE push_outbox (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pusher_nid bigint NOT NULL REFERENCES pushers (nid) ON DELETE CASCADE,
  room_nid bigint NOT NULL,
  event_nid bigint,
  thread bigint NOT NULL,
  ordinal bigint NOT NULL,
  -- JSON.
  tweaks text NOT NULL,
  created_ts bigint NOT NULL
);
CREATE INDEX push_outbox_pusher ON push_outbox (pusher_nid, nid);

-- When a user was last mailed about a room, and how long it is quiet there after that.
CREATE TABLE push_mail_pauses (
  pusher_nid bigint NOT NULL REFERENCES pushers (nid) ON DELETE CASCADE,
  room_nid bigint NOT NULL,
  sent_ts bigint NOT NULL,
  pause_ms bigint NOT NULL,
  PRIMARY KEY (pusher_nid, room_nid)
);

-- Ignored users are part of what decides what notifies: members of rooms are asked for theirs.
CREATE INDEX account_data_ignored_users ON account_data (user_nid) WHERE type = 'm.ignored_user_list';

-- Writes what is owed to the pushers of users. A pusher that is being deleted is passed over.
CREATE FUNCTION write_pushes(new_pushes json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO push_outbox (pusher_nid, room_nid, event_nid, thread, ordinal, tweaks, created_ts)
    SELECT pushers.nid, row.room_nid, row.event_nid, row.thread, row.ordinal, row.tweaks, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM json_to_recordset(new_pushes)
      AS row (user_nid bigint, room_nid bigint, event_nid bigint, thread bigint, ordinal bigint, tweaks text)
    JOIN pushers ON pushers.user_nid = row.user_nid AND enabled AND (row.event_nid IS NOT NULL OR kind = 'http')
    ORDER BY row.room_nid, row.ordinal
    FOR KEY SHARE OF pushers SKIP LOCKED;
END
$$;
