"""Projects: what environments belong to.

Tables that it writes: `projects`.
First file to open: `service.py`.
"""
