-- A page that passes a stage of user-interactive authentication has to know what the session is for: the purpose does not tell.
ALTER TABLE authentication_sessions
  ADD COLUMN operation text NOT NULL DEFAULT '',
  -- Who asks: a user id, or the server name where there is no user yet.
  ADD COLUMN asker text NOT NULL DEFAULT '';
