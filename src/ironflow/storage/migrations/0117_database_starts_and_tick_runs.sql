-- Which start of the database the lock of a node is of.
ALTER TABLE nodes ADD COLUMN database_start {text} NOT NULL DEFAULT '';
CREATE INDEX tick_runs_by_run ON tick_runs (run_id);
