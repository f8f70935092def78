CREATE TABLE topics (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  messages BIGINT NOT NULL,
  first_position BIGINT NOT NULL,
  last_position BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (environment, name)
);
INSERT INTO topics (environment, name, messages, first_position, last_position, first_at, last_at)
SELECT environment, name, count(*), min(position), max(position), min(created_at), max(created_at)
FROM events WHERE kind = 'topic' GROUP BY environment, name;
CREATE TABLE consumer_groups (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  namespace {text} NOT NULL,
  name {text} NOT NULL,
  pattern {text} NOT NULL,
  filter_expr {text} NOT NULL,
  ack_mode {text} NOT NULL,
  backpressure {text} NOT NULL,
  max_inflight BIGINT NOT NULL,
  max_redeliveries BIGINT NOT NULL,
  redeliver_delay_ms BIGINT NOT NULL,
  metadata {text},
  status {text} NOT NULL,
  position BIGINT NOT NULL,
  dropped BIGINT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX consumer_groups_by_name ON consumer_groups (environment, namespace, name);
CREATE TABLE group_members (
  id {text} PRIMARY KEY,
  group_id {text} NOT NULL,
  node {text} NOT NULL,
  client_id {text} NOT NULL,
  joined_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX group_members_by_group ON group_members (group_id);
CREATE TABLE deliveries (
  group_id {text} NOT NULL,
  position BIGINT NOT NULL,
  event_id {text} NOT NULL,
  attempt BIGINT NOT NULL,
  member_id {text} NOT NULL,
  due_at BIGINT NOT NULL,
  PRIMARY KEY (group_id, position)
);
CREATE INDEX deliveries_due ON deliveries (due_at);
CREATE INDEX deliveries_by_member ON deliveries (member_id, event_id) WHERE member_id <> '';
CREATE TABLE dead_letters (
  group_id {text} NOT NULL,
  position BIGINT NOT NULL,
  event_id {text} NOT NULL,
  topic {text} NOT NULL,
  reason {text} NOT NULL,
  attempts BIGINT NOT NULL,
  dead_at BIGINT NOT NULL,
  PRIMARY KEY (group_id, position)
);
CREATE INDEX dead_letters_by_age ON dead_letters (dead_at);
