-- Events whose content a redaction has taken away, but whose text still has it: it is overwritten after a time.
CREATE TABLE redacted_contents (
  event_nid bigint PRIMARY KEY,
  redacted timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX redacted_contents_redacted ON redacted_contents (redacted);

INSERT INTO redacted_contents (event_nid) SELECT nid FROM events WHERE redacted_by IS NOT NULL;

-- A trigger, because events become redacted in several ways, and some are written as redacted from the start.
CREATE FUNCTION note_redacted_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO redacted_contents (event_nid) VALUES (NEW.nid) ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER events_content_redacted AFTER INSERT ON events
  FOR EACH ROW WHEN (NEW.redacted_by IS NOT NULL) EXECUTE FUNCTION note_redacted_content();
CREATE TRIGGER events_content_redacted_later AFTER UPDATE OF redacted_by ON events
  FOR EACH ROW WHEN (OLD.redacted_by IS NULL AND NEW.redacted_by IS NOT NULL) EXECUTE FUNCTION note_redacted_content();
