-- Until when an account may be used; NULL is for good.
ALTER TABLE accounts ADD COLUMN valid_until_ts bigint;
