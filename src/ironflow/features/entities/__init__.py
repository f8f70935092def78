"""Entities: a state for each key, which the handlers of one entity change one at a time.

Tables that it writes: `entity_states`; each row is the fold of its entity's stream.
First file to open: `contract.py`; jobs carry states to and from workers through `in_tx`.
"""
