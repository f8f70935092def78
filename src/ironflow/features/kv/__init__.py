"""The key-value room: buckets of versioned entries with compare-and-set, history, TTL and size limits."""
