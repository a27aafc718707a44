-- Of events.flags 8: the event was purged, 16: it had a place in the live timeline. Its place in the graph stays, its content does
-- not, and nobody is shown it.
-- A thread forgets what was purged of it, as it does what was redacted.
CREATE TRIGGER events_thread_purged AFTER UPDATE OF flags ON events
  FOR EACH ROW WHEN (NEW.relates_to IS NOT NULL AND OLD.flags = 0 AND NEW.flags & 8 <> 0 AND NEW.redacted_by IS NULL)
  EXECUTE FUNCTION uncount_in_thread();

-- Ends of a room's history that an administrator took away: nothing follows them, and nothing will.
ALTER TABLE rooms ADD COLUMN dropped_ends bigint[] NOT NULL DEFAULT '{}';
