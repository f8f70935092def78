"""Users: people who log in with an e-mail address and a password, and what they may do.

Tables that it writes: `users`, `user_bootstraps`.
First file to open: `service.py`.
"""
