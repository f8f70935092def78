CREATE TABLE function_epoch (
  name {text} PRIMARY KEY,
  epoch BIGINT NOT NULL
);
INSERT INTO function_epoch (name, epoch) VALUES ('functions', 0);
CREATE TABLE functions (
  environment {text} NOT NULL,
  id {text} NOT NULL,
  version BIGINT NOT NULL,
  status {text} NOT NULL,
  config {text} NOT NULL,
  code_hash {text} NOT NULL,
  epoch BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, id)
);
CREATE INDEX functions_by_epoch ON functions (epoch);
CREATE TABLE function_versions (
  environment {text} NOT NULL,
  id {text} NOT NULL,
  version BIGINT NOT NULL,
  config {text} NOT NULL,
  code_hash {text} NOT NULL,
  reason {text} NOT NULL,
  actor {text} NOT NULL,
  recorded_at BIGINT NOT NULL,
  PRIMARY KEY (environment, id, version)
);
CREATE TABLE schedules (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  place BIGINT NOT NULL,
  cron {text} NOT NULL,
  timezone {text} NOT NULL,
  event {text} NOT NULL,
  next_at BIGINT NOT NULL,
  PRIMARY KEY (environment, function_id, place)
);
CREATE INDEX schedules_due ON schedules (next_at);
