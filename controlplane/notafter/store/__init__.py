"""The only room that knows SQL: one file a noun, rows in `tables.py`."""
