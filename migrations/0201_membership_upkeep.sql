-- Users whose memberships have yet to follow a change of their account: another profile, or its end.
CREATE TABLE membership_upkeep (
  user_nid bigint PRIMARY KEY,
  -- Counts the changes, so that one that is made meanwhile is not taken for done.
  serial bigint NOT NULL DEFAULT 1,
  -- Until when a process is at work on it.
  claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
