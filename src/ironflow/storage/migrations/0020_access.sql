CREATE TABLE policies (
  id {text} PRIMARY KEY,
  org_id {text} NOT NULL,
  name {text} NOT NULL,
  effect {text} NOT NULL,
  actions {text} NOT NULL,
  resources {text} NOT NULL,
  condition {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE roles (
  id {text} PRIMARY KEY,
  org_id {text} NOT NULL,
  name {text} NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE role_policies (
  role_id {text} NOT NULL,
  policy_id {text} NOT NULL,
  PRIMARY KEY (role_id, policy_id)
);
CREATE TABLE api_keys (
  id {text} PRIMARY KEY,
  org_id {text} NOT NULL,
  environment {text} NOT NULL,
  name {text} NOT NULL,
  key_hash {text} NOT NULL,
  key_prefix {text} NOT NULL,
  role_ids {text} NOT NULL,
  created_at BIGINT NOT NULL,
  created_by {text} NOT NULL,
  expires_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  old_hash {text} NOT NULL,
  old_until BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (key_hash);
CREATE INDEX api_keys_by_old_hash ON api_keys (old_hash) WHERE old_hash <> '';
CREATE INDEX api_keys_by_environment ON api_keys (environment, id);
CREATE TABLE api_key_bootstraps (
  id {text} PRIMARY KEY,
  made_at BIGINT NOT NULL
);
CREATE TABLE environments (
  id {text} PRIMARY KEY,
  name {text} NOT NULL,
  rows_as {text} NOT NULL,
  project_id {text} NOT NULL,
  color {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX environments_by_name ON environments (name);
CREATE UNIQUE INDEX environments_by_rows ON environments (rows_as);
