-- From which position until which users were in rooms: with whom a user came to share a room, and with whom no longer.
CREATE TABLE joined_members (
  user_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  since bigint NOT NULL,
  until bigint,
  PRIMARY KEY (user_nid, room_nid, since)
);
CREATE INDEX joined_members_since ON joined_members (room_nid, since);
CREATE INDEX joined_members_until ON joined_members (room_nid, until) WHERE until IS NOT NULL;

CREATE FUNCTION note_joined_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO joined_members (user_nid, room_nid, since)
    SELECT user_nid, room_nid, position FROM after_rows WHERE membership = 1 AND user_nid IS NOT NULL
  ON CONFLICT (user_nid, room_nid, since) DO UPDATE SET until = NULL;
  RETURN NULL;
END
$$;
CREATE FUNCTION note_changed_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE joined_members m SET until = a.position
    FROM before_rows b JOIN after_rows a USING (room_nid, tuple_nid)
    WHERE b.membership = 1 AND a.membership IS DISTINCT FROM 1
      AND m.user_nid = b.user_nid AND m.room_nid = b.room_nid AND m.until IS NULL;
  INSERT INTO joined_members (user_nid, room_nid, since)
    SELECT a.user_nid, a.room_nid, a.position FROM after_rows a JOIN before_rows b USING (room_nid, tuple_nid)
    WHERE a.membership = 1 AND b.membership IS DISTINCT FROM 1 AND a.user_nid IS NOT NULL
  ON CONFLICT (user_nid, room_nid, since) DO UPDATE SET until = NULL;
  RETURN NULL;
END
$$;
CREATE FUNCTION note_gone_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE joined_members m SET until = (SELECT last_value FROM log_position)
    FROM before_rows b WHERE b.membership = 1 AND m.user_nid = b.user_nid AND m.room_nid = b.room_nid AND m.until IS NULL;
  RETURN NULL;
END
$$;
CREATE TRIGGER current_state_joined_members_new AFTER INSERT ON current_state
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_joined_members();
CREATE TRIGGER current_state_joined_members_changed AFTER UPDATE ON current_state
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_changed_members();
CREATE TRIGGER current_state_joined_members_gone AFTER DELETE ON current_state
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_gone_members();

INSERT INTO joined_members (user_nid, room_nid, since)
  SELECT user_nid, room_nid, position FROM current_state WHERE membership = 1 AND user_nid IS NOT NULL;
