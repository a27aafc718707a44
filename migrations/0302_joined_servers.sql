-- Which servers have joined members in a room, and since and until when: whom an event is sent to.
CREATE TABLE joined_servers (
  room_nid bigint NOT NULL,
  server_name text NOT NULL,
  members bigint NOT NULL,
  -- The positions at which the first of these members joined, and at which the last one left.
  since bigint NOT NULL,
  until bigint,
  PRIMARY KEY (room_nid, server_name)
);
CREATE INDEX joined_servers_server ON joined_servers (server_name, room_nid) WHERE members > 0;

CREATE FUNCTION server_of(user_id text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN substr(user_id, strpos(user_id, ':') + 1);

-- Counts whoever came and went in one statement; rows of current state that are no memberships do not count.
CREATE FUNCTION count_joined_servers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO joined_servers AS joined (room_nid, server_name, members, since)
    SELECT room_nid, server_of(u.user_id), sum(delta), max(position)
    FROM (
      SELECT room_nid, user_nid, 1 AS delta, position FROM after_rows WHERE membership = 1
      UNION ALL
      SELECT b.room_nid, b.user_nid, -1, a.position FROM before_rows b JOIN after_rows a USING (room_nid, tuple_nid) WHERE b.membership = 1
    ) change JOIN users u ON u.nid = change.user_nid
    GROUP BY room_nid, server_of(u.user_id) HAVING sum(delta) <> 0
  ON CONFLICT (room_nid, server_name) DO UPDATE SET
    members = joined.members + excluded.members,
    since = CASE WHEN joined.members = 0 THEN excluded.since ELSE joined.since END,
    until = CASE WHEN joined.members + excluded.members = 0 THEN excluded.since END;
  RETURN NULL;
END
$$;
CREATE FUNCTION count_new_joined_servers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO joined_servers AS joined (room_nid, server_name, members, since)
    SELECT room_nid, server_of(u.user_id), count(*), max(position)
    FROM after_rows JOIN users u ON u.nid = after_rows.user_nid
    WHERE membership = 1 GROUP BY room_nid, server_of(u.user_id)
  ON CONFLICT (room_nid, server_name) DO UPDATE SET
    members = joined.members + excluded.members,
    since = CASE WHEN joined.members = 0 THEN excluded.since ELSE joined.since END,
    until = NULL;
  RETURN NULL;
END
$$;
CREATE TRIGGER current_state_joined_servers_new AFTER INSERT ON current_state
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION count_new_joined_servers();
CREATE TRIGGER current_state_joined_servers_changed AFTER UPDATE ON current_state
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION count_joined_servers();

CREATE FUNCTION uncount_joined_servers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE joined_servers SET members = joined_servers.members - gone.members,
      until = CASE WHEN joined_servers.members = gone.members THEN gone.position END
    FROM (SELECT room_nid, server_of(u.user_id) AS server_name, count(*) AS members, max(position) AS position
      FROM before_rows JOIN users u ON u.nid = before_rows.user_nid WHERE membership = 1 GROUP BY 1, 2) gone
    WHERE joined_servers.room_nid = gone.room_nid AND joined_servers.server_name = gone.server_name;
  RETURN NULL;
END
$$;
CREATE TRIGGER current_state_joined_servers_gone AFTER DELETE ON current_state
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION uncount_joined_servers();

INSERT INTO joined_servers (room_nid, server_name, members, since)
  SELECT c.room_nid, server_of(u.user_id), count(*), min(c.position)
  FROM current_state c JOIN users u ON u.nid = c.user_nid WHERE c.membership = 1 GROUP BY 1, 2;
