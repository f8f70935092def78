CREATE TABLE bulk_jobs (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  action {text} NOT NULL,
  wanted {text} NOT NULL,
  reason {text} NOT NULL,
  status {text} NOT NULL,
  cursor {text} NOT NULL,
  matched BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX bulk_running ON bulk_jobs (id) WHERE status = 'running';
