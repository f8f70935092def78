CREATE TABLE endpoints (
  environment {text} NOT NULL,
  url {text} NOT NULL,
  failures BIGINT NOT NULL,
  opened BIGINT NOT NULL,
  open_until BIGINT NOT NULL,
  error {text} NOT NULL,
  failed_at BIGINT NOT NULL,
  PRIMARY KEY (environment, url)
);
CREATE INDEX endpoints_open ON endpoints (open_until) WHERE open_until > 0;
