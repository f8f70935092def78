"""`make demo`: real processes, 240 orders, one `kill -9`, and the numbers afterwards."""
