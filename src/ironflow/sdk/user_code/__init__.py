"""Functions that users write: their signature, and calling them on the loop or in a thread."""
