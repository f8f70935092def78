CREATE TABLE kv_buckets (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  description {text} NOT NULL,
  ttl_ms BIGINT NOT NULL,
  value_bytes_max BIGINT NOT NULL,
  bytes_max BIGINT NOT NULL,
  history BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  last_revision BIGINT NOT NULL,
  bytes_stored BIGINT NOT NULL,
  PRIMARY KEY (environment, name)
);
CREATE TABLE kv_entries (
  environment {text} NOT NULL,
  bucket {text} NOT NULL,
  key {text} NOT NULL,
  revision BIGINT NOT NULL,
  operation {text} NOT NULL,
  value {blob},
  size_bytes BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  PRIMARY KEY (environment, bucket, key, revision)
);
CREATE INDEX kv_newest ON kv_entries (environment, bucket, key) WHERE newest = 1;
CREATE INDEX kv_expiring ON kv_entries (environment, bucket, created_at);
