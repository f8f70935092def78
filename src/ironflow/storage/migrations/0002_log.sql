CREATE TABLE log_head (
  name {text} PRIMARY KEY,
  position BIGINT NOT NULL
);
INSERT INTO log_head (name, position) VALUES ('log', 0);
CREATE TABLE events (
  position {position_key},
  id {text} NOT NULL,
  environment {text} NOT NULL,
  kind {text} NOT NULL,
  name {text} NOT NULL,
  data {text} NOT NULL,
  metadata {text},
  version BIGINT NOT NULL,
  source {text} NOT NULL,
  namespace {text} NOT NULL,
  idempotency_key {text},
  run_id {text},
  emitted_by {text},
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_name ON events (environment, name, position);
CREATE TABLE log_cursors (
  follower {text} PRIMARY KEY,
  position BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE idempotency_keys (
  environment {text} NOT NULL,
  scope {text} NOT NULL,
  key {text} NOT NULL,
  event_id {text} NOT NULL,
  run_ids {text} NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (environment, scope, key)
);
CREATE INDEX idempotency_by_age ON idempotency_keys (created_at);
