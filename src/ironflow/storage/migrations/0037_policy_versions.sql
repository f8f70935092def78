ALTER TABLE policies ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE policies ADD COLUMN changed_by {text} NOT NULL DEFAULT '';
CREATE TABLE policy_versions (
  policy_id {text} NOT NULL,
  version BIGINT NOT NULL,
  name {text} NOT NULL,
  effect {text} NOT NULL,
  actions {text} NOT NULL,
  resources {text} NOT NULL,
  condition {text} NOT NULL,
  changed_by {text} NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (policy_id, version)
);
