"""Benchmarks of speed and size: each module measures one question on its own server, on one machine, over loopback.

    python -m benchmarks              # all of them
    python -m benchmarks emits kv     # some

The docstring of a module has the question and the method; its last result is in `results/NAME.json`, all of them in
`docs/internals/benchmarks.md`. The limits of the machine are measured in the same run, for comparison.
"""
