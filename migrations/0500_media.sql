-- Times are milliseconds since 1970, given by the process. Bytes lie in the media store under their SHA-256.
CREATE TABLE media_contents (
  digest bytea PRIMARY KEY,
  size bigint NOT NULL,
  -- When to look whether anything refers to it; NULL: something does. This is the queue of deletions: the row is made
  -- before the bytes are stored and goes after they have gone, so that no bytes are ever forgotten.
  check_ts bigint
);
CREATE INDEX media_contents_check ON media_contents (check_ts) WHERE check_ts IS NOT NULL;

-- kind: 1 upload, 2 copy of another server's media, 3 picture of a preview.
CREATE TABLE media (
  nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  server_name text NOT NULL,
  media_id text NOT NULL,
  kind smallint NOT NULL,
  -- Who uploaded it.
  user_nid bigint REFERENCES users (nid),
  -- NULL: reserved, and not uploaded yet.
  digest bytea REFERENCES media_contents (digest),
  size bigint,
  content_type text,
  file_name text,
  -- When it was uploaded or fetched; until then, when it was reserved.
  created_ts bigint NOT NULL,
  last_access_ts bigint NOT NULL,
  -- When it goes by itself.
  expires_ts bigint,
  -- Which administrator took it out of circulation.
  quarantined_by bigint REFERENCES users (nid),
  -- Neither quarantined with others nor deleted for its age.
  protected boolean NOT NULL DEFAULT false,
  UNIQUE (server_name, media_id)
) WITH (fillfactor = 85);
CREATE INDEX media_digest ON media (digest) WHERE digest IS NOT NULL;
CREATE INDEX media_user ON media (user_nid, created_ts, nid) INCLUDE (size) WHERE user_nid IS NOT NULL;
CREATE INDEX media_pending ON media (user_nid, expires_ts) WHERE digest IS NULL;
CREATE INDEX media_expires ON media (expires_ts) WHERE expires_ts IS NOT NULL;
CREATE INDEX media_last_access ON media (kind, last_access_ts) WHERE digest IS NOT NULL;

-- Thumbnails belong to the content, however often it was uploaded.
CREATE TABLE media_thumbnails (
  source bytea NOT NULL REFERENCES media_contents (digest) ON DELETE CASCADE,
  width integer NOT NULL,
  height integer NOT NULL,
  -- 1 crop, 2 scale.
  method smallint NOT NULL,
  animated boolean NOT NULL,
  digest bytea NOT NULL REFERENCES media_contents (digest),
  size bigint NOT NULL,
  content_type text NOT NULL,
  PRIMARY KEY (source, width, height, method, animated)
);
CREATE INDEX media_thumbnails_digest ON media_thumbnails (digest);

CREATE TABLE url_previews (
  -- SHA-256 of the server that made it and the address.
  key bytea PRIMARY KEY,
  answer text NOT NULL,
  expires_ts bigint NOT NULL
);
CREATE INDEX url_previews_expires ON url_previews (expires_ts);
