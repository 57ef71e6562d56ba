"""The examples in the detector's documentation are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("context", "surprise", "parts.level", "parts.joint", "parts.stillness")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(import_module(f"shinkei_detect.{name}"))
    assert tried
    assert not failed
