"""Statistics of rows that were derived: gathered by shard, added up in any order to the same."""
