"""The debounces room: events gathered for a function until they pause; the last one starts the run."""
