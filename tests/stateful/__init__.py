"""The control plane's real code through any order of events, over a modelled CA and modelled hosts."""
