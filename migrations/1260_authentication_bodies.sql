-- A client that goes on with a session of user-interactive authentication may send nothing but `auth`: the first body says the rest.
ALTER TABLE authentication_sessions
  -- The first body, sealed: it can hold a password. Absent for one that is too large to keep.
  ADD COLUMN body bytea,
  -- Who was registered in it. Empty while that is going on; absent for a session that was not completed.
  ADD COLUMN outcome text;
