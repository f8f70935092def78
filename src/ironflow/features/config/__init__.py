"""The config room: JSON documents by name, kept in a bucket of the server's own."""
