ALTER TABLE runs ADD COLUMN hold {text} NOT NULL DEFAULT '';
CREATE INDEX runs_keeping_slots ON runs (environment, slot_key) WHERE hold = 'kept';
CREATE INDEX jobs_by_scope ON jobs (environment, slot_key, state, ready_at, run_id) WHERE substr(slot_key, 1, 6) = 'scope:';
