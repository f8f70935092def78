-- The principal that wrote a revision, and the one that registered a worker; empty without authentication.
ALTER TABLE kv_entries ADD COLUMN written_by TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN registered_by TEXT NOT NULL DEFAULT '';
