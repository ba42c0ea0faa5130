"""Folders that optimum and diffusers wrote, read without torch."""
