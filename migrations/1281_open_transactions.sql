-- What a server is sent is fixed before it is: what it was owed up to a position, the oldest, little or as much as a transaction holds.
-- Until it has answered it is sent the same again under the same id. NULL: nothing is being sent.
ALTER TABLE destinations ADD COLUMN open_until bigint, ADD COLUMN open_small boolean NOT NULL DEFAULT false;
