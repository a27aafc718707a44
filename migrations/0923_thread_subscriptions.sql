-- Threads that users follow, or followed (MSC4306).
CREATE TABLE thread_subscriptions (
  user_nid bigint NOT NULL REFERENCES accounts (user_nid) ON DELETE CASCADE,
  -- The event that the thread hangs on.
  root bigint NOT NULL,
  room_nid bigint NOT NULL,
  subscribed boolean NOT NULL,
  -- A client did it because the user was mentioned or took part.
  automatic boolean NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (user_nid, root)
);
CREATE INDEX thread_subscriptions_changed ON thread_subscriptions (user_nid, position, root);
CREATE INDEX thread_subscriptions_room ON thread_subscriptions (room_nid);
