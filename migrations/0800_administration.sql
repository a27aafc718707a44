-- What administrators say of accounts: what kind of user it is, and a rate limit of its own (NULL: that of everybody; 0: none).
ALTER TABLE accounts
  ADD COLUMN user_type text,
  ADD COLUMN messages_per_second integer,
  ADD COLUMN burst_count integer;

-- Under which ids other identity providers know users.
CREATE TABLE external_ids (
  server_name text NOT NULL,
  auth_provider text NOT NULL,
  external_id text NOT NULL,
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  PRIMARY KEY (server_name, auth_provider, external_id)
);
CREATE INDEX external_ids_user ON external_ids (user_nid);

-- Rooms that nobody of ours may join, whether they are known here or not.
CREATE TABLE blocked_rooms (
  room_id text PRIMARY KEY,
  blocked_by bigint NOT NULL REFERENCES users (nid)
);

-- Long work that administrators have asked for. `params` and `result` are JSON; times are milliseconds since 1970.
CREATE TABLE admin_tasks (
  id text PRIMARY KEY,
  action text NOT NULL,
  -- The room or the user that it is about.
  resource_id text NOT NULL,
  params text NOT NULL,
  status text NOT NULL DEFAULT 'scheduled',
  result text NOT NULL DEFAULT '{}',
  error text,
  created_ts bigint NOT NULL,
  -- Until when a process is at work on it.
  claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX admin_tasks_open ON admin_tasks (created_ts) WHERE status IN ('scheduled', 'active');
CREATE INDEX admin_tasks_resource ON admin_tasks (resource_id);

-- A text in the content of an event, or NULL: also where it holds what text cannot.
CREATE FUNCTION content_text(event text, key text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN event::json -> 'content' ->> key;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;
