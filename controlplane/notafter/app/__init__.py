"""The composition root: settings → rooms, and the process that serves."""
