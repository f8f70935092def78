-- A run waits in several steps at once; a time-out may be an answer; a failed run may run its compensations.
ALTER TABLE steps ADD COLUMN on_timeout {text} NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN open_waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN wake_at BIGINT;
ALTER TABLE runs ADD COLUMN compensating {text};
UPDATE runs SET open_waits = 1 WHERE open_step IS NOT NULL;
