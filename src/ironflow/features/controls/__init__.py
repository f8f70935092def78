"""The controls room: what people do to runs: pause, resume, retry, inject, patch, and ask why a run is not running."""
