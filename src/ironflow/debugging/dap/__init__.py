"""The debug adapter: the Debug Adapter Protocol over the recorded history of a run. `session.py` first.

`session.py` is pure: messages in, messages out, and questions to a server that its caller asks. `adapter.py` carries
messages over standard input and output or TCP. Source: the published Debug Adapter Protocol, version 1.71.
"""
