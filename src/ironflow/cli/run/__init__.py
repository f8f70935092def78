"""`ironflow run` and `inspect`: runs, their steps and their control."""
