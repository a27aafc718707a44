-- Accounts that an administrator has restricted, for as long as it takes; and accounts of guests.
ALTER TABLE accounts
  ADD COLUMN is_guest boolean NOT NULL DEFAULT false,
  -- May do nothing at all but log out.
  ADD COLUMN locked boolean NOT NULL DEFAULT false,
  -- May read and leave, but not take part.
  ADD COLUMN suspended boolean NOT NULL DEFAULT false;
CREATE INDEX accounts_guests ON accounts (user_nid) WHERE is_guest;
CREATE INDEX accounts_erased ON accounts (user_nid) WHERE erased;
