-- A step has attempts of its own, and shows its progress.
ALTER TABLE steps ADD COLUMN attempts_max BIGINT;
ALTER TABLE steps ADD COLUMN attempts {text};
ALTER TABLE steps ADD COLUMN progress {text};
ALTER TABLE steps ADD COLUMN handler_at BIGINT;
