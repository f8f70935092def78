CREATE TABLE streams (
  environment {text} NOT NULL,
  entity_id {text} NOT NULL,
  entity_type {text} NOT NULL,
  version BIGINT NOT NULL,
  event_count BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, entity_id)
);
CREATE INDEX streams_by_type ON streams (environment, entity_type, entity_id);
CREATE UNIQUE INDEX events_by_entity ON events (environment, entity_id, entity_version) WHERE entity_id IS NOT NULL;
CREATE INDEX events_of_entities_by_run ON events (run_id, entity_id) WHERE run_id IS NOT NULL AND entity_id IS NOT NULL;
CREATE TABLE snapshots (
  environment {text} NOT NULL,
  entity_id {text} NOT NULL,
  entity_version BIGINT NOT NULL,
  id {text} NOT NULL,
  state {text} NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (environment, entity_id, entity_version)
);
ALTER TABLE idempotency_keys ADD COLUMN entity_version BIGINT;
