"""Commands about access: keys, roles, policies and environments."""
