CREATE TABLE run_values (
  run_id {text} NOT NULL,
  name {text} NOT NULL,
  value {text} NOT NULL,
  number BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  version BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (run_id, name)
);
