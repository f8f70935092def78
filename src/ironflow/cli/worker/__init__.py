"""`ironflow worker`, `dev` and `init`: run functions, and start a project."""
