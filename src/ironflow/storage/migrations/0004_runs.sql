CREATE TABLE runs (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  function_version BIGINT NOT NULL,
  event_id {text} NOT NULL,
  event_name {text} NOT NULL,
  status {text} NOT NULL,
  policy {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  reason {text} NOT NULL,
  attempt BIGINT NOT NULL,
  execution_seq BIGINT NOT NULL,
  step_count BIGINT NOT NULL,
  next_sequence BIGINT NOT NULL,
  losses BIGINT NOT NULL,
  version BIGINT NOT NULL,
  output {text},
  error {text},
  started_at BIGINT,
  ended_at BIGINT,
  next_at BIGINT,
  worker_id {text},
  actor_id {text},
  cancellation_cause {text},
  parent_run_id {text},
  parent_step_id {text},
  last_report {text} NOT NULL,
  open_step {text},
  pause_requested BIGINT NOT NULL,
  paused_from {text} NOT NULL,
  slot_key {text},
  holds_slot BIGINT NOT NULL,
  watched BIGINT NOT NULL,
  recorded {text} NOT NULL
);
CREATE INDEX runs_by_function ON runs (environment, function_id, id);
CREATE INDEX runs_by_event ON runs (event_id);
CREATE INDEX runs_by_status ON runs (environment, status, id) WHERE status <> 'completed';
CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_holding_slots ON runs (environment, function_id, slot_key)
 WHERE status = 'paused' AND slot_key IS NOT NULL AND holds_slot = 1;
CREATE TABLE steps (
  run_id {text} NOT NULL,
  step_id {text} NOT NULL,
  name {text} NOT NULL,
  type {text} NOT NULL,
  status {text} NOT NULL,
  sequence BIGINT NOT NULL,
  number BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  output {text},
  error {text},
  started_at BIGINT,
  ended_at BIGINT,
  duration_ms BIGINT,
  compensation_for {text},
  sleep_until BIGINT,
  input {text},
  wait_event {text},
  wait_until BIGINT,
  child_run_id {text},
  original_output {text},
  patched_at BIGINT,
  patched_by {text},
  injected BIGINT NOT NULL
);
CREATE UNIQUE INDEX steps_by_id ON steps (run_id, step_id);
CREATE TABLE jobs (
  run_id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  state {text} NOT NULL,
  ready_at BIGINT NOT NULL,
  job_id {text} NOT NULL,
  execution_seq BIGINT NOT NULL,
  token {text} NOT NULL,
  worker_id {text} NOT NULL,
  expires_at BIGINT NOT NULL,
  deadline_at BIGINT NOT NULL,
  sequence_base BIGINT NOT NULL,
  log_position BIGINT NOT NULL,
  avoid {text} NOT NULL,
  slot_key {text},
  actor_id {text}
);
CREATE INDEX jobs_ready ON jobs (environment, function_id, ready_at, run_id) WHERE state = 'ready';
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at > 0;
CREATE INDEX jobs_by_worker ON jobs (worker_id) WHERE worker_id <> '';
CREATE INDEX jobs_by_slot ON jobs (environment, function_id, slot_key, state, ready_at, run_id)
 WHERE slot_key IS NOT NULL;
CREATE TABLE timers (
  run_id {text} NOT NULL,
  kind {text} NOT NULL,
  step_id {text} NOT NULL,
  due_at BIGINT NOT NULL,
  PRIMARY KEY (run_id, kind, step_id)
);
CREATE INDEX timers_due ON timers (due_at);
CREATE TABLE waits (
  run_id {text} NOT NULL,
  kind {text} NOT NULL,
  step_id {text} NOT NULL,
  environment {text} NOT NULL,
  event {text} NOT NULL,
  event_key {text} NOT NULL,
  path {text} NOT NULL,
  value {text} NOT NULL,
  expression {text} NOT NULL,
  PRIMARY KEY (run_id, kind, step_id)
);
CREATE INDEX waits_by_event ON waits (environment, event_key, path, value);
CREATE TABLE wait_shapes (
  environment {text} NOT NULL,
  event_key {text} NOT NULL,
  path {text} NOT NULL,
  PRIMARY KEY (environment, event_key, path)
);
CREATE TABLE facts (
  run_id {text} NOT NULL,
  version BIGINT NOT NULL,
  at BIGINT NOT NULL,
  kind {text} NOT NULL,
  body {text} NOT NULL,
  PRIMARY KEY (run_id, version)
);
CREATE TABLE workers (
  environment {text} NOT NULL,
  id {text} NOT NULL,
  hostname {text} NOT NULL,
  function_ids {text} NOT NULL,
  jobs_max BIGINT NOT NULL,
  labels {text} NOT NULL,
  sdk {text} NOT NULL,
  runtime {text} NOT NULL,
  transport {text} NOT NULL,
  registered_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (environment, id)
);
CREATE TABLE actors (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  actor_id {text} NOT NULL,
  worker_id {text} NOT NULL,
  PRIMARY KEY (environment, function_id, actor_id)
);
CREATE TABLE throttle_starts (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  key {text} NOT NULL,
  number BIGINT NOT NULL,
  start_at BIGINT NOT NULL,
  PRIMARY KEY (environment, function_id, key, number)
);
CREATE TABLE debounces (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  key {text} NOT NULL,
  event_id {text} NOT NULL,
  events BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  fire_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX debounces_by_lane ON debounces (environment, function_id, key);
CREATE INDEX debounces_due ON debounces (fire_at);
