-- A run of a function with an actor key and a concurrency limit needs a slot of both; limit_key is the second one.
ALTER TABLE runs ADD COLUMN limit_key {text};
ALTER TABLE jobs ADD COLUMN limit_key {text};
CREATE INDEX runs_holding_limits ON runs (environment, function_id, limit_key)
 WHERE status = 'paused' AND limit_key IS NOT NULL AND holds_slot = 1;
-- Both answer from the index alone who of a long queue waits for something else than its other slot.
DROP INDEX jobs_by_slot;
CREATE INDEX jobs_by_slot ON jobs (environment, function_id, slot_key, state, ready_at, run_id, limit_key)
 WHERE slot_key IS NOT NULL;
CREATE INDEX jobs_by_limit ON jobs (environment, function_id, limit_key, state, ready_at, run_id, slot_key)
 WHERE limit_key IS NOT NULL;
