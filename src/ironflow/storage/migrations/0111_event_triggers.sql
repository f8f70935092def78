CREATE TABLE event_triggers (
  environment {text} NOT NULL,
  function_id {text} NOT NULL,
  event_id {text} NOT NULL,
  run_id {text} NOT NULL,
  given_at BIGINT NOT NULL,
  PRIMARY KEY (environment, function_id, event_id)
);
CREATE INDEX runs_triggered ON runs (environment, function_id, status) WHERE priority = -101;
