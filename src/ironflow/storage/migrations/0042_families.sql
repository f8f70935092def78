ALTER TABLE runs ADD COLUMN family {text};
