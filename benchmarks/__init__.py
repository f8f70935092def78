"""How fast, how small: each module here asks one question of a server of its own, on one machine, over loopback.

    python -m benchmarks              # all of them
    python -m benchmarks emits kv     # some

A module's docstring says the question and the method; its last answer is in `results/NAME.json`, all of them in
`docs/internals/benchmarks.md`. The limits of the machine are measured in the same run and stand beside the answers.
"""
