ALTER TABLE runs ADD COLUMN entity {text};
CREATE TABLE entity_states (
  environment {text} NOT NULL,
  entity_id {text} NOT NULL,
  state {text} NOT NULL,
  version BIGINT NOT NULL,
  run_id {text},
  number BIGINT NOT NULL,
  base {text},
  base_version BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, entity_id)
);
