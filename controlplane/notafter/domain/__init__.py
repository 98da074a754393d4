"""The rules: pure functions of facts and `now`; nothing here reads a clock, a disk or a socket."""
