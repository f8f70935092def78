"""The client for scripts, made from the asynchronous one."""
