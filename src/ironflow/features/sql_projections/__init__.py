"""SQL projections: tables that the server keeps up to date from events, by statements of users.

Tables that it writes: `sql_generations`, `sql_projection_tables`, `sql_projections`.
First file to open: `service.py`.
"""
