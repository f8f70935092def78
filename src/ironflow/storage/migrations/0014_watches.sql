DROP INDEX kv_expiring;
CREATE INDEX kv_by_revision ON kv_entries (environment, bucket, revision);
CREATE TABLE kv_purges (
  environment {text} NOT NULL,
  bucket {text} NOT NULL,
  revision BIGINT NOT NULL,
  key {text} NOT NULL,
  purged_at BIGINT NOT NULL,
  PRIMARY KEY (environment, bucket, revision)
);
CREATE INDEX kv_purges_by_age ON kv_purges (purged_at);
