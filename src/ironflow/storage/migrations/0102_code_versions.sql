ALTER TABLE workers ADD COLUMN code_versions {text} NOT NULL DEFAULT '';
CREATE TABLE function_code_versions (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  version {text} NOT NULL,
  first_seen_at BIGINT NOT NULL,
  PRIMARY KEY (environment, function_id, version)
);
CREATE TABLE run_code_versions (
  run_id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  version {text} NOT NULL
);
CREATE INDEX run_code_versions_by_version ON run_code_versions (environment, function_id, version, run_id);
