"""What both debuggers know of a recorded run: its history, differences of states, previews. `history.py` first.

Pure: values in, values out. `dap` is the debug adapter, `ironflow.cli.run.tui` the full screen of `ironflow inspect`.
"""
