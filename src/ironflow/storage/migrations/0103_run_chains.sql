ALTER TABLE runs ADD COLUMN restarted_from {text};
ALTER TABLE runs ADD COLUMN restarted_as {text};
ALTER TABLE runs ADD COLUMN first_run_id {text};
ALTER TABLE runs ADD COLUMN link BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX runs_by_chain ON runs (first_run_id, link) WHERE first_run_id IS NOT NULL;
