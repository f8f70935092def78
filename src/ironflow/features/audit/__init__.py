"""The audit room: what happened to recorded runs, of one run or of a whole environment, read from their facts."""
