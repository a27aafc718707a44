-- A one-time key that was claimed stays where it is, marked, for some days: deleted, an upload at the same time that waits for the
-- deletion would add it once more.
ALTER TABLE one_time_keys ADD COLUMN claimed timestamptz;
INSERT INTO one_time_keys (user_nid, device_id, algorithm, key_id, key, claimed)
  SELECT user_nid, device_id, algorithm, key_id, key, claimed FROM claimed_one_time_keys
  ON CONFLICT (user_nid, device_id, algorithm, key_id) DO NOTHING;
DROP TABLE claimed_one_time_keys;
DROP INDEX one_time_keys_order;
CREATE INDEX one_time_keys_order ON one_time_keys (user_nid, device_id, algorithm, nid) WHERE claimed IS NULL;
CREATE INDEX one_time_keys_claimed ON one_time_keys (claimed) WHERE claimed IS NOT NULL;
