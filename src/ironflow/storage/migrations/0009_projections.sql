CREATE TABLE projections (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  mode {text} NOT NULL,
  version BIGINT NOT NULL,
  events {text} NOT NULL,
  partition_key {text} NOT NULL,
  description {text} NOT NULL,
  paused BIGINT NOT NULL,
  side {text} NOT NULL,
  cursor BIGINT NOT NULL,
  rebuild_id {text} NOT NULL,
  sent_up_to BIGINT,
  error_message {text} NOT NULL,
  tries_position BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  retry_at BIGINT NOT NULL,
  lease_token {text} NOT NULL,
  lease_epoch BIGINT NOT NULL,
  lease_ends_at BIGINT NOT NULL,
  seat {text} NOT NULL,
  seat_ends_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, name)
);
CREATE TABLE projection_states (
  side {text} NOT NULL,
  partition_key {text} NOT NULL,
  position BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  state {text} NOT NULL,
  event_id {text} NOT NULL,
  event_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  kept_at BIGINT NOT NULL,
  saved_at BIGINT NOT NULL,
  PRIMARY KEY (side, partition_key, position)
);
CREATE UNIQUE INDEX projection_states_newest ON projection_states (side, partition_key) WHERE newest = 1;
CREATE INDEX projection_states_old ON projection_states (saved_at) WHERE newest = 0;
CREATE TABLE projection_rebuilds (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  name {text} NOT NULL,
  side {text} NOT NULL,
  status {text} NOT NULL,
  partition_key {text},
  from_event_id {text} NOT NULL,
  to_event_id {text} NOT NULL,
  start_position BIGINT NOT NULL,
  target BIGINT NOT NULL,
  cursor BIGINT NOT NULL,
  events_total BIGINT NOT NULL,
  events_done BIGINT NOT NULL,
  error {text} NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX projection_rebuilds_by_name ON projection_rebuilds (environment, name, id);
CREATE INDEX projection_rebuilds_running ON projection_rebuilds (id) WHERE status = 'running';
CREATE TABLE projection_garbage (
  side {text} PRIMARY KEY,
  since BIGINT NOT NULL
);
