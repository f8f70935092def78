"""The state machine of runs, pure: `decide(run, command, now)` returns facts and effects, `evolve(run, fact)` the run.

No await, clock, SQL or log line here: time, ids and chance are given. Open `decide.py` first: it names the function
that decides each command. `commands`, `facts` and `effects` declare the three closed unions.
"""
