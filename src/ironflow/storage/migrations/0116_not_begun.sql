-- Why the last execution for the compensations of a run could not begin, and how many before it could not.
ALTER TABLE runs ADD COLUMN not_begun {text};
