"""Workers and the pools that hold them: shards in, receipts out."""
