"""HTTP for the SDK: transports, operations as requests, retries."""
