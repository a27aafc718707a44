-- Where the database is: a dump that is put back, even into the same server, is another one. NULL until somebody has looked.
ALTER TABLE epochs ADD COLUMN place text;
