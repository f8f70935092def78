ALTER TABLE runs ADD COLUMN unasked_steps {text};
