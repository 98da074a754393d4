"""What a sealed value says of itself, `v1.key.datakey.value`: nothing of it is secret."""

FORMAT = "v1"
PARTS = 4
#: Where the id of the key stands in the text, for those who look with SQL.
KEY_AT, KEY_LENGTH = len(FORMAT) + 2, 12


def key_id(sealed: str) -> str:
    """Return the id of the key that a value is sealed with; of what is no sealed value, nothing."""
    parts = sealed.split(".")
    return parts[1] if len(parts) == PARTS and parts[0] == FORMAT else ""
