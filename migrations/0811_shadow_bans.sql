-- Users to whom the server says that it did what they asked, and does not.
ALTER TABLE accounts ADD COLUMN shadow_banned boolean NOT NULL DEFAULT false;
