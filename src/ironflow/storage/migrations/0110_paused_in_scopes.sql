CREATE INDEX runs_paused_in_scopes ON runs (environment, slot_key)
 WHERE status = 'paused' AND holds_slot = 1 AND substr(slot_key, 1, 6) = 'scope:';
