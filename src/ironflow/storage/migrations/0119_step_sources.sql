-- Where in the user's program a step is called, as FILE:LINE.
ALTER TABLE steps ADD COLUMN source {text};
