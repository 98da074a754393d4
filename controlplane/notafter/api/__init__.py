"""What others may ask over HTTP: one file a noun, schemas beside routes."""
