"""`ironflow function`, `invoke` and `debounce`: functions and how they start."""
