CREATE TABLE audit_notes (
  id {text} PRIMARY KEY,
  environment {text} NOT NULL,
  at BIGINT NOT NULL,
  function_id {text} NOT NULL,
  event_type {text} NOT NULL,
  actor {text} NOT NULL,
  payload {text} NOT NULL
);
CREATE INDEX audit_notes_by_place ON audit_notes (environment, at, id);
CREATE INDEX audit_notes_by_time ON audit_notes (at, id);
