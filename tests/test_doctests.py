import doctest
import importlib
import pkgutil

import pytest

import mcvar

NAMES = ["mcvar", *(m.name for m in pkgutil.walk_packages(mcvar.__path__, "mcvar."))]


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=flags).failed == 0
