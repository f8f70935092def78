"""Small clients in other languages that know the protocol alone; each reads as strictly as its language."""
