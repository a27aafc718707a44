-- Relations are paged in the order of the room's history, of any type or of one.
DROP INDEX events_relations;
CREATE INDEX events_relations ON events (relates_to, depth, nid) WHERE relates_to IS NOT NULL;
CREATE INDEX events_relations_of_type ON events (relates_to, rel_type_nid, depth, nid) WHERE relates_to IS NOT NULL;

-- The types that are aggregated: whoever asks for them finds their numbers.
INSERT INTO event_types (type) VALUES ('m.reference'), ('m.replace'), ('m.thread') ON CONFLICT DO NOTHING;

-- Threads by their root: how many events relate to it as m.thread, redacted ones not counted, and the last of them in the
-- order of the history. All of it can be counted again from events.
CREATE TABLE threads (
  root bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  events bigint NOT NULL,
  latest_depth bigint NOT NULL,
  latest_nid bigint NOT NULL
);
CREATE INDEX threads_latest ON threads (room_nid, latest_depth, latest_nid);
-- Who wrote how many of them: who takes part, and what to leave out for those who ignore someone.
CREATE TABLE thread_participants (
  root bigint NOT NULL,
  user_nid bigint NOT NULL,
  events bigint NOT NULL,
  PRIMARY KEY (root, user_nid)
);

INSERT INTO threads
  SELECT DISTINCT ON (e.relates_to) e.relates_to, e.room_nid, count(*) OVER (PARTITION BY e.relates_to), e.depth, e.nid
  FROM events e JOIN event_types t ON t.nid = e.rel_type_nid AND t.type = 'm.thread'
  WHERE e.relates_to IS NOT NULL AND e.flags = 0 AND e.redacted_by IS NULL
  ORDER BY e.relates_to, e.depth DESC, e.nid DESC;
INSERT INTO thread_participants
  SELECT e.relates_to, e.sender_nid, count(*)
  FROM events e JOIN event_types t ON t.nid = e.rel_type_nid AND t.type = 'm.thread'
  WHERE e.relates_to IS NOT NULL AND e.flags = 0 AND e.redacted_by IS NULL
  GROUP BY e.relates_to, e.sender_nid;

-- Triggers, because only here is known what every path that writes or redacts events did: a redaction does not say what it
-- redacts, and one that comes second changes nothing. Events without a relation do not call them.
CREATE FUNCTION count_in_thread() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.rel_type_nid IS DISTINCT FROM (SELECT nid FROM event_types WHERE type = 'm.thread') THEN
    RETURN NULL;
  END IF;
  INSERT INTO threads (root, room_nid, events, latest_depth, latest_nid)
    VALUES (NEW.relates_to, NEW.room_nid, 1, NEW.depth, NEW.nid)
    ON CONFLICT (root) DO UPDATE SET events = threads.events + 1,
      latest_depth = greatest(threads.latest_depth, excluded.latest_depth),
      latest_nid = CASE WHEN (excluded.latest_depth, excluded.latest_nid) > (threads.latest_depth, threads.latest_nid)
        THEN excluded.latest_nid ELSE threads.latest_nid END;
  INSERT INTO thread_participants (root, user_nid, events) VALUES (NEW.relates_to, NEW.sender_nid, 1)
    ON CONFLICT (root, user_nid) DO UPDATE SET events = thread_participants.events + 1;
  RETURN NULL;
END
$$;

CREATE FUNCTION uncount_in_thread() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  latest record;
BEGIN
  IF NEW.rel_type_nid IS DISTINCT FROM (SELECT nid FROM event_types WHERE type = 'm.thread') THEN
    RETURN NULL;
  END IF;
  SELECT depth, nid INTO latest FROM events
    WHERE relates_to = NEW.relates_to AND rel_type_nid = NEW.rel_type_nid AND flags = 0 AND redacted_by IS NULL
    ORDER BY depth DESC, nid DESC LIMIT 1;
  IF latest IS NULL THEN
    DELETE FROM threads WHERE root = NEW.relates_to;
  ELSE
    UPDATE threads SET events = events - 1, latest_depth = latest.depth, latest_nid = latest.nid WHERE root = NEW.relates_to;
  END IF;
  DELETE FROM thread_participants WHERE root = NEW.relates_to AND user_nid = NEW.sender_nid AND events = 1;
  UPDATE thread_participants SET events = events - 1 WHERE root = NEW.relates_to AND user_nid = NEW.sender_nid;
  RETURN NULL;
END
$$;

CREATE TRIGGER events_thread_added AFTER INSERT ON events
  FOR EACH ROW WHEN (NEW.relates_to IS NOT NULL AND NEW.flags = 0) EXECUTE FUNCTION count_in_thread();
CREATE TRIGGER events_thread_redacted AFTER UPDATE OF redacted_by ON events
  FOR EACH ROW WHEN (NEW.relates_to IS NOT NULL AND NEW.flags = 0 AND OLD.redacted_by IS NULL AND NEW.redacted_by IS NOT NULL)
  EXECUTE FUNCTION uncount_in_thread();
