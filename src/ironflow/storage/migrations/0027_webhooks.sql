CREATE TABLE webhook_sources (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  name {text} NOT NULL,
  source_type {text} NOT NULL,
  event_prefix {text} NOT NULL,
  verify_header {text} NOT NULL,
  verify_algorithm {text} NOT NULL,
  verify_config {text} NOT NULL,
  verifies BIGINT NOT NULL,
  schema_version BIGINT NOT NULL,
  metadata {text} NOT NULL,
  secrets_made BIGINT NOT NULL,
  secret BIGINT NOT NULL,
  secret_prev BIGINT NOT NULL,
  secret_prev_until BIGINT NOT NULL,
  token_hash {text} NOT NULL,
  token_prefix {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_sources_by_environment ON webhook_sources (environment, id);
CREATE TABLE webhook_deliveries (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  source_id {text} NOT NULL,
  external_id {text} NOT NULL,
  status {text} NOT NULL,
  event_id {text} NOT NULL,
  event_name {text} NOT NULL,
  error {text} NOT NULL,
  signature_key {text} NOT NULL,
  duplicate BIGINT NOT NULL,
  headers {text} NOT NULL,
  body {blob} NOT NULL,
  body_bytes BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  replay_of {text} NOT NULL,
  replayed_as {text} NOT NULL
);
CREATE INDEX webhook_deliveries_by_environment ON webhook_deliveries (environment, status, id);
CREATE INDEX webhook_deliveries_by_source ON webhook_deliveries (source_id, status, id);
