"""`make demo`: a fleet whose certificates live minutes, and the control plane that renews them."""
