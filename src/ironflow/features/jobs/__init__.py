"""Jobs and workers: leave to make one execution: claim, lease, fence, report.

Tables that it writes: `actors`, `workers`.
First file to open: `service.py`.
"""
