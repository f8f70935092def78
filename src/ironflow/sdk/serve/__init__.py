"""Push mode in a user's program: requests of a server become executions of functions, and their outcomes answers."""
