CREATE TABLE event_schemas (
  environment {text} NOT NULL,
  event_name {text} NOT NULL,
  version BIGINT NOT NULL,
  schema_json {text} NOT NULL,
  digest {text} NOT NULL,
  description {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, event_name, version)
);
ALTER TABLE events ADD COLUMN imported_at BIGINT;
CREATE TABLE redactions (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  target {text} NOT NULL,
  target_id {text} NOT NULL,
  actor {text} NOT NULL,
  reason {text} NOT NULL,
  payloads BIGINT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX redactions_by_target ON redactions (environment, target_id, id);
