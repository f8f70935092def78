-- A run is undone before it is cancelled: why and when that was asked for. A bulk job may end such runs at once.
ALTER TABLE runs ADD COLUMN cancelling {text};
ALTER TABLE runs ADD COLUMN cancel_requested_at BIGINT;
ALTER TABLE bulk_jobs ADD COLUMN force BIGINT NOT NULL DEFAULT 0;
