"""The redaction room: payloads of an event, a step or a run are replaced by a marker, for ever."""
