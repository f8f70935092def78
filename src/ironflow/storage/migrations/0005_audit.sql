CREATE INDEX facts_by_time ON facts (at, run_id, version);
CREATE INDEX runs_recorded ON runs (environment, function_id, ended_at) WHERE recorded NOT IN ('', 'expired');
