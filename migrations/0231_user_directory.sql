-- Display names with their letters folded (src/protocol/search-text.ts), as users are looked for. Here only ASCII is.
ALTER TABLE profile_fields ADD COLUMN folded text;
UPDATE profile_fields SET folded = left(lower(value::json #>> '{}'), 200) WHERE name = 'displayname' AND value !~ '\\u';
CREATE INDEX profile_fields_folded ON profile_fields (folded text_pattern_ops) WHERE folded IS NOT NULL;
CREATE INDEX users_prefix ON users (lower(user_id) text_pattern_ops);
-- Anywhere inside names. Where the extension cannot be made, such a search reads all names.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX profile_fields_trigrams ON profile_fields USING gin (folded gin_trgm_ops) WHERE folded IS NOT NULL;
  CREATE INDEX users_trigrams ON users USING gin (lower(user_id) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
  RAISE NOTICE 'pg_trgm is not available: users are found inside names more slowly';
END
$$;
