-- A worker that was silent too long is evicted, and revived by its next poll or heartbeat.
ALTER TABLE workers ADD COLUMN evicted_at BIGINT;
