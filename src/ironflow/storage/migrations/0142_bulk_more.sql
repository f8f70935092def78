-- Whether there may be more runs than were counted before a bulk job began.
ALTER TABLE bulk_jobs ADD COLUMN more BIGINT NOT NULL DEFAULT 0;
