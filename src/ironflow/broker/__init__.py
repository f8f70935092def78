"""The doorbell: wakes whoever waits for a topic. It holds no truth; a lost ring costs a moment, never a message."""
