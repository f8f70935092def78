"""Dead letters: deliveries of consumer groups that are given up, with the reason; listed, replayed and purged.

Tables that it writes: `dead_letters`. Consumer groups add to them through `in_tx`.
First file to open: `service.py`.
"""
