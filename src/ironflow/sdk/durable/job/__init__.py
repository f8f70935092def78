"""A job between server and worker: the assignment, the event, the report."""
