-- The device that takes messages for a user who has no other (MSC3814): at most one of each.
CREATE TABLE dehydrated_devices (
  user_nid bigint PRIMARY KEY,
  device_id text NOT NULL,
  -- JSON text that only the user's clients can read.
  device_data text NOT NULL,
  FOREIGN KEY (user_nid, device_id) REFERENCES devices (user_nid, device_id) ON DELETE CASCADE
);
