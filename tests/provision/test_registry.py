"""Finding providers by their names."""

from __future__ import annotations

import pytest

from blendnet.errors import UserError
from blendnet.provision.base import Place
from blendnet.provision.registry import open_provider


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UserError, match="there is no provider 'nimbus'"):
        open_provider("nimbus", Place(farm="farm"))
