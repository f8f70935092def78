-- A disabled user has no session. disabled_at: 0 for one who may log in.
ALTER TABLE users ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN disabled_reason {text} NOT NULL DEFAULT '';
