"""What all tests share: the labs, and the order in which workers take them."""

from pathlib import Path

import pytest

pytest_plugins = ["tests.lab.fixtures"]

#: The folders whose files take minutes, the longest first.
_LONG = ("tests/e2e", "tests/molecule_tests", "tests/lab_tests", "tests/integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files that take minutes first, else the last one keeps a worker busy when all others are done.

    Inside of a folder the order stays random.
    """
    items.sort(key=lambda item: _weight(item.path, config.rootpath))


def _weight(path: Path, root: Path) -> int:
    folders = [str(folder) for folder in path.relative_to(root).parents]
    return next((place for place, folder in enumerate(_LONG) if folder in folders), len(_LONG))
