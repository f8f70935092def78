"""The streaming_workers room: workers on one bidirectional stream instead of polling."""
