"""What all tests share: the labs."""

pytest_plugins = ["tests.lab.fixtures"]
