"""Words every floor uses: operations, errors, ids, time, durations, spelling. Imports nothing of ours above it."""
