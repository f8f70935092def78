"""The bulk room: cancel, retry or resume all runs that pass a filter, a few at a time, with progress."""
