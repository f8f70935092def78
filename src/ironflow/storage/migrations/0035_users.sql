CREATE TABLE users (
  id {text} PRIMARY KEY,
  org_id {text} NOT NULL,
  email {text} NOT NULL,
  email_key {text} NOT NULL UNIQUE,
  name {text} NOT NULL,
  role_ids {text} NOT NULL,
  password_hash {text} NOT NULL,
  epoch BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by {text} NOT NULL,
  updated_at BIGINT NOT NULL,
  last_login_at BIGINT NOT NULL
);
CREATE TABLE user_bootstraps (
  id {text} PRIMARY KEY,
  made_at BIGINT NOT NULL
);
CREATE TABLE sessions (
  id {text} PRIMARY KEY,
  user_id {text} NOT NULL,
  epoch BIGINT NOT NULL,
  secret_hash {text} NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE TABLE session_keys (
  id {text} PRIMARY KEY,
  secret {text} NOT NULL,
  made_at BIGINT NOT NULL
);
CREATE TABLE login_failures (
  subject {text} PRIMARY KEY,
  failures BIGINT NOT NULL,
  blocked_until BIGINT NOT NULL,
  forget_at BIGINT NOT NULL
);
CREATE INDEX login_failures_by_forget_at ON login_failures (forget_at);
