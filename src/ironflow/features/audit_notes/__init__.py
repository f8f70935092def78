"""Notes of the audit trail: who changed what and who was refused, in a chain of hashes that nothing is removed from
unnoticed.

Tables that it writes: `audit_notes`, `audit_heads`, `audit_refusals`.
First file to open: `in_tx.py`.
"""
