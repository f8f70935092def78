"""The jobs room: workers, and leave to make one attempt: claim, lease, fence, report."""
