"""The client for scripts and other code without an event loop: `ironflow.sync.Client`, with the methods of
`ironflow.Client` and plain iterators."""

from ironflow.sdk.client._sync.client import Client

__all__ = ["Client"]
