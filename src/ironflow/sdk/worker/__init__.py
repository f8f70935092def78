"""Workers: get jobs by polling or on one stream, run them, report."""
