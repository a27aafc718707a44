-- Full text of the names, topics and messages of rooms that are not encrypted. All of it can be made again from events.

-- The lexemes of a text whose letters were folded already (src/protocol/search-text.ts): the words as they are, in their
-- places and of most weight, and what the dictionaries make of them.
CREATE FUNCTION search_document(words text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT setweight(to_tsvector('pg_catalog.simple', words), 'A') || strip(to_tsvector('pg_catalog.english', words))
    || strip(to_tsvector('pg_catalog.spanish', words)) || strip(to_tsvector('pg_catalog.portuguese', words))
$$;

-- All words, as they are or as one of the dictionaries sees them, and each phrase as it stands. In plpgsql, so that the planner
-- finds a constant and looks up how common the words are.
CREATE FUNCTION search_query(words text, phrases text[]) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  wanted tsquery := plainto_tsquery('pg_catalog.simple', words) || plainto_tsquery('pg_catalog.english', words)
    || plainto_tsquery('pg_catalog.spanish', words) || plainto_tsquery('pg_catalog.portuguese', words);
  phrase text;
BEGIN
  FOREACH phrase IN ARRAY phrases LOOP
    wanted := wanted && phraseto_tsquery('pg_catalog.simple', phrase);
  END LOOP;
  RETURN wanted;
END
$$;

CREATE TABLE search_index (
  nid bigint PRIMARY KEY,
  -- The event whose text this is: the last replacement of the message, or itself.
  text_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  sender_nid bigint NOT NULL,
  position bigint NOT NULL,
  sent_ts bigint NOT NULL,
  -- 1 content.body, 2 content.name, 3 content.topic.
  key smallint NOT NULL,
  document tsvector NOT NULL
);
-- Without a list of pending entries, which every search would have to read.
CREATE INDEX search_index_document ON search_index USING gin (document) WITH (fastupdate = off);
-- Common words are looked for from the newest on, in all rooms or in some.
CREATE INDEX search_index_newest ON search_index (sent_ts, nid);
CREATE INDEX search_index_room ON search_index (room_nid, sent_ts, nid);

-- Rooms that anybody may join or read: their members are in the user directory for everyone.
CREATE TABLE open_rooms (
  room_nid bigint PRIMARY KEY
);

-- The newest texts that match. It is planned anew for each search: how common the words are, and how much of everything the
-- rooms hold, decides between search_index_document, for rare words, and a walk over search_index_newest or search_index_room.
-- What is searched is in memory, so that jumping about costs little more than reading in order, and looking at a row, its text
-- above all, most. With the costs that PostgreSQL assumes, a word in 0.5 % of all texts is walked for: 460 instead of 40 ms.
CREATE FUNCTION search_matches(
  words text, phrases text[], rooms bigint[], keys smallint[], senders bigint[], not_senders bigint[], before_ts bigint, before_nid bigint,
  most integer
) RETURNS TABLE (nid bigint, text_nid bigint, room_nid bigint, sender_nid bigint, "position" bigint, sent_ts bigint, rank real)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_custom_plan SET random_page_cost = 1.1 SET cpu_tuple_cost = 0.1 SET max_parallel_workers_per_gather = 0 SET jit = off
AS $$
BEGIN
  RETURN QUERY
    SELECT i.nid, i.text_nid, i.room_nid, i.sender_nid, i.position, i.sent_ts, ts_rank(i.document, search_query(words, phrases), 1)
    FROM search_index i
    WHERE i.document @@ search_query(words, phrases) AND i.room_nid = ANY(rooms) AND i.key = ANY(keys)
      AND (senders IS NULL OR i.sender_nid = ANY(senders)) AND i.sender_nid <> ALL(not_senders)
      AND (i.sent_ts, i.nid) < (before_ts, before_nid)
    ORDER BY i.sent_ts DESC, i.nid DESC LIMIT most;
END
$$;
