"""The consumer_groups room: members share the events of a pattern, each event to one of them until it is settled."""
