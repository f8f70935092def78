ALTER TABLE audit_notes ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_notes ADD COLUMN hash {text} NOT NULL DEFAULT '';
CREATE INDEX audit_notes_by_position ON audit_notes (position);
CREATE TABLE audit_heads (
  name {text} PRIMARY KEY,
  position BIGINT NOT NULL,
  hash {text} NOT NULL,
  anchor_position BIGINT NOT NULL,
  anchor_hash {text} NOT NULL,
  anchor_signature {text} NOT NULL
);
INSERT INTO audit_heads (name, position, hash, anchor_position, anchor_hash, anchor_signature)
VALUES ('audit', 0, '', 0, '', '');
CREATE TABLE audit_refusals (
  minute BIGINT NOT NULL,
  environment {text} NOT NULL,
  actor {text} NOT NULL,
  action {text} NOT NULL,
  code {text} NOT NULL,
  address {text} NOT NULL,
  refusals BIGINT NOT NULL,
  PRIMARY KEY (minute, environment, actor, action, code, address)
);
