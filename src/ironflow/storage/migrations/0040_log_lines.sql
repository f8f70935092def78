CREATE TABLE log_lines (
  run_id {text} NOT NULL,
  execution_seq BIGINT NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  level BIGINT NOT NULL,
  message {text} NOT NULL,
  data {text},
  step_id {text} NOT NULL,
  step_name {text} NOT NULL,
  attempt BIGINT NOT NULL,
  truncated BIGINT NOT NULL,
  PRIMARY KEY (run_id, execution_seq, number)
);
