CREATE TABLE tick_runs (
  environment {text} NOT NULL,
  owner {text} NOT NULL,
  run_id {text} NOT NULL,
  PRIMARY KEY (environment, owner, run_id)
);
CREATE TABLE kept_ticks (
  environment {text} NOT NULL,
  owner {text} NOT NULL,
  tick_at BIGINT NOT NULL,
  function_id {text} NOT NULL,
  event {text} NOT NULL,
  data {text} NOT NULL,
  source {text} NOT NULL,
  metadata {text} NOT NULL,
  cancels BIGINT NOT NULL,
  PRIMARY KEY (environment, owner)
);
CREATE TABLE named_schedules (
  environment {text} NOT NULL,
  id {text} NOT NULL,
  version BIGINT NOT NULL,
  function_id {text} NOT NULL,
  input {text} NOT NULL,
  cron {text} NOT NULL,
  timezone {text} NOT NULL,
  every_ms BIGINT NOT NULL,
  at BIGINT,
  jitter_ms BIGINT NOT NULL,
  starts_at BIGINT,
  ends_at BIGINT,
  catch_up_ms BIGINT,
  overlap {text} NOT NULL,
  description {text} NOT NULL,
  status {text} NOT NULL,
  next_at BIGINT,
  due_at BIGINT,
  last_at BIGINT,
  last_run_id {text} NOT NULL,
  started BIGINT NOT NULL,
  skipped BIGINT NOT NULL,
  missed BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, id)
);
CREATE INDEX named_schedules_due ON named_schedules (due_at) WHERE status = 'active' AND due_at IS NOT NULL;
CREATE TABLE schedule_backfills (
  environment {text} NOT NULL,
  schedule_id {text} NOT NULL,
  id {text} NOT NULL,
  next_at BIGINT NOT NULL,
  until_at BIGINT NOT NULL,
  overlap {text} NOT NULL,
  started BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (environment, schedule_id, id)
);
ALTER TABLE schedules ADD COLUMN overlap {text} NOT NULL DEFAULT '';
