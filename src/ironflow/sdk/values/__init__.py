"""Users' values: JSON, types and their schemas, event definitions."""
