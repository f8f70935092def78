"""The pubsub room: messages to topics, recorded in the log."""
