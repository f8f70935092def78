CREATE TABLE messages (
  id {text} NOT NULL PRIMARY KEY,
  environment {text} NOT NULL,
  run_id {text} NOT NULL,
  number BIGINT NOT NULL,
  name {text} NOT NULL,
  data {text} NOT NULL,
  asked BIGINT NOT NULL,
  scope {text} NOT NULL,
  idempotency_key {text},
  sent_by {text} NOT NULL,
  created_at BIGINT NOT NULL,
  taken_by {text},
  taken_at BIGINT,
  state {text} NOT NULL,
  answer {text},
  answered_at BIGINT
);
CREATE UNIQUE INDEX messages_in_order ON messages (run_id, number);
CREATE INDEX messages_unread ON messages (run_id, name, number) WHERE taken_at IS NULL;
CREATE UNIQUE INDEX messages_by_key ON messages (environment, scope, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX messages_by_age ON messages (created_at);
