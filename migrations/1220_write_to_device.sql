-- Writes the messages to devices of a whole transaction, at its position: those of keys that were never seen before, to devices
-- that still exist. It gives the position back, so that it can be the end of a statement that takes one.
CREATE FUNCTION write_to_device(
  here bigint, keys text[],
  local_keys text[], user_nids bigint[], device_ids text[], new_events text[],
  remote_keys text[], message_ids text[], destinations text[], origins text[], contents text[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  fresh text[];
BEGIN
  WITH once AS (
    INSERT INTO to_device_sent (key) SELECT decode(key, 'hex') FROM unnest(keys) AS sent (key) ON CONFLICT DO NOTHING RETURNING key)
  SELECT array_agg(encode(key, 'hex')) INTO fresh FROM once;
  IF fresh IS NULL THEN
    RETURN here;
  END IF;
  INSERT INTO to_device_messages (user_nid, device_id, position, event)
    SELECT user_nid, device_id, here, event
    FROM unnest(local_keys, user_nids, device_ids, new_events) WITH ORDINALITY AS message (key, user_nid, device_id, event, place)
    JOIN devices USING (user_nid, device_id)
    WHERE key = ANY (fresh) ORDER BY place;
  IF remote_keys <> '{}' THEN
    INSERT INTO to_device_outbox (position, message_id, destination, origin, content)
      SELECT here, message_id, destination, origin, content
      FROM unnest(remote_keys, message_ids, destinations, origins, contents) AS message (key, message_id, destination, origin, content)
      WHERE key = ANY (fresh);
  END IF;
  RETURN here;
END;
$$;

-- Deletes what devices have shown to have: of each all up to a position, or of these only those up to a number. Who loses this
-- in a crash is shown a message again, which is no reason to wait for the disk.
CREATE FUNCTION acknowledge_to_device(user_nids bigint[], device_ids text[], positions bigint[], nids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  DELETE FROM to_device_messages AS message
    USING unnest(user_nids, device_ids, positions, nids) AS device (user_nid, device_id, position, nid)
    WHERE message.user_nid = device.user_nid AND message.device_id = device.device_id AND message.position <= device.position
      AND message.nid <= coalesce(device.nid, message.nid);
END;
$$;
