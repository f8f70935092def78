ALTER TABLE events ADD COLUMN entity_type {text};
ALTER TABLE events ADD COLUMN entity_id {text};
ALTER TABLE events ADD COLUMN entity_version BIGINT;
