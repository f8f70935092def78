"""The client, its features and views, and the generated client for scripts."""
