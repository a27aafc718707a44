-- Set while a server has failed for a while: no events are noted for it, and it is brought up to date of them from here when it is tried.
ALTER TABLE destinations ADD COLUMN behind_after bigint;
