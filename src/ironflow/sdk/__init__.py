"""What users' programs import: the client, functions and steps, and the worker that runs them."""
