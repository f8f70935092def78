-- Whether the failure of a step is raised again by every replay (kept), or the step runs anew (released).
ALTER TABLE steps ADD COLUMN failure {text} NOT NULL DEFAULT '';
