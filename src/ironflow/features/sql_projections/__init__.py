"""Tables that the server keeps up to date from events, by statements that users wrote."""
