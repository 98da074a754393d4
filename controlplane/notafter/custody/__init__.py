"""Keys and secrets at rest: sealed in the database, opened only here."""
