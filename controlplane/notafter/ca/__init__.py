"""What we ask of certificate authorities ourselves; the only room that speaks HTTP to others."""
