"""Mutated certificates and configurations: nothing that a file may hold makes us raise, hang or swell."""
