-- The runs that a bulk job has changed, where the change can be undone; kept for a day.
CREATE TABLE bulk_changes (
  environment {text} NOT NULL,
  bulk_id {text} NOT NULL,
  run_id {text} NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (bulk_id, run_id)
);
CREATE INDEX bulk_changes_by_run ON bulk_changes (run_id);
CREATE INDEX bulk_changes_by_time ON bulk_changes (changed_at);
-- The job whose changes this one takes back; empty for the others.
ALTER TABLE bulk_jobs ADD COLUMN undoes {text} NOT NULL DEFAULT '';
