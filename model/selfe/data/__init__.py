"""Pictures with captions as training data: folders, shards, buckets of sizes, batches by step number."""
