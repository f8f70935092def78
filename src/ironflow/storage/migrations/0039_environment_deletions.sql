CREATE TABLE environment_deletions (
  id {text} PRIMARY KEY,
  name {text} NOT NULL,
  rows_as {text} NOT NULL,
  status {text} NOT NULL,
  at_table {text} NOT NULL,
  rows_removed BIGINT NOT NULL,
  rows_of_pass BIGINT NOT NULL,
  started_by {text} NOT NULL,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL
);
CREATE INDEX environment_deletions_by_rows ON environment_deletions (rows_as);
