"""Many callers, one model: their calls joined into batches, a bounded queue, and the thread that runs them."""
