-- Every follower keeps its cursor beside its result: groups, projections and SQL projections in tables of their own.
DROP TABLE log_cursors;
