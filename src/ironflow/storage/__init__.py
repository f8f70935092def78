"""How we talk to a database: one port, two adapters (SQLite and PostgreSQL), named dialect fragments, migrations."""
