CREATE TABLE usage_heads (
  name {text} PRIMARY KEY,
  counted BIGINT NOT NULL,
  pass_cursor BIGINT NOT NULL,
  passed_at BIGINT NOT NULL
);
INSERT INTO usage_heads (name, counted, pass_cursor, passed_at) SELECT 'usage', position, 0, 0 FROM log_head;
CREATE TABLE usage_days (
  environment {text} NOT NULL,
  day BIGINT NOT NULL,
  event_bytes BIGINT NOT NULL,
  PRIMARY KEY (environment, day)
);
CREATE TABLE usage_totals (
  environment {text} PRIMARY KEY,
  event_bytes BIGINT NOT NULL,
  pass_bytes BIGINT NOT NULL
);
ALTER TABLE limits ADD COLUMN event_bytes_per_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE limits ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
