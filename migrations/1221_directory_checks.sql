-- When it was last looked who is still in a directory of users, so that one process does it at a time.
CREATE TABLE directory_checks (
  provider text PRIMARY KEY,
  -- Milliseconds since 1970.
  checked_ts bigint NOT NULL
);
