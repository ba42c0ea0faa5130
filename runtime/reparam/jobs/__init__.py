"""Files through a model: one operation over all rows of a .npy file, into others that may be larger than memory."""
