"""The runs room: what became of each event, step by step."""
