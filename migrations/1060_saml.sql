-- Login through providers of identities that speak SAML 2.0.

-- What the provider has said of the user: its answer comes without the cookie of the browser, which has to fetch it.
ALTER TABLE external_logins ADD COLUMN outcome text;

-- As what the provider knows the user in its requests to log out, where that is not the subject, and what belongs to that name.
ALTER TABLE external_sessions ADD COLUMN name_id text;
ALTER TABLE external_sessions ADD COLUMN name_id_details text;
CREATE INDEX external_sessions_name_id ON external_sessions (provider, name_id) WHERE name_id IS NOT NULL;
