"""Smaller variants of finished graphs, fp16 and int8: how they are made, and what they cost and gain here."""
