"""What every layer uses: operations, errors, ids, time, durations, spelling. It imports no other layer."""
