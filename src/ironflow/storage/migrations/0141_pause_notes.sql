-- Who has paused a run, or asked for it, and why.
ALTER TABLE runs ADD COLUMN paused_by {text};
ALTER TABLE runs ADD COLUMN pause_note {text};
