CREATE TABLE nodes (
  id {text} PRIMARY KEY NOT NULL,
  name {text} NOT NULL,
  lock_key BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
ALTER TABLE jobs ADD COLUMN node {text} NOT NULL DEFAULT '';
CREATE INDEX jobs_by_node ON jobs (node, run_id) WHERE node <> '';
ALTER TABLE workers ADD COLUMN silent_at BIGINT;
