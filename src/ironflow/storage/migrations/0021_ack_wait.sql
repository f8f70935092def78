-- Groups that exist get the default; their redeliver_delay_ms no longer limits the time of a handler.
ALTER TABLE consumer_groups ADD COLUMN ack_wait_ms BIGINT NOT NULL DEFAULT 30000;
