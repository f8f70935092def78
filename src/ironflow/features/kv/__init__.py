"""Key-value buckets: versioned entries with compare-and-set, history, TTL and size limits.

Tables that it writes: `kv_buckets`, `kv_entries`, `kv_purges`.
First file to open: `service.py`.
"""
