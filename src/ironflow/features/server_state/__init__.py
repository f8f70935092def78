"""The server_state room: health, readiness, capabilities and facts about the server itself."""
