"""The only room that knows ansible-runner: a plan goes in, outcomes come out."""
