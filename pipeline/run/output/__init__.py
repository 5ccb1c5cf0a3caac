"""The output folder: which shards are done, who may write, what is published."""
