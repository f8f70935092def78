ALTER TABLE runs ADD COLUMN key {text};
CREATE INDEX runs_by_key ON runs (environment, function_id, key, id) WHERE key IS NOT NULL;
CREATE TABLE run_keys (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  key {text} NOT NULL,
  run_id {text} NOT NULL,
  PRIMARY KEY (environment, function_id, key)
);
CREATE UNIQUE INDEX run_keys_by_run ON run_keys (run_id);
