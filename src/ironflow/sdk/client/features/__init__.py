"""The features of the client, each the operations of one contract."""
