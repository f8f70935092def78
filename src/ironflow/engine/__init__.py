"""The run state machine, pure: `decide(run, command, now)` says what follows, `evolve(run, fact)` what a run then is.

No await, clock, SQL or log line here: time, ids and chance are given. `grep -rn "def decide_"` is the index.
"""
