"""Which cloud, and where: options before settings."""

from __future__ import annotations

import click
import pytest

from blendnet.cli.cloud_place import choice_of
from blendnet.errors import UserError
from blendnet.settings import Settings


def test_options_go_before_settings() -> None:
    settings = Settings(cloud_provider="aws", cloud_region="eu-1", cloud_options="zones=a,b; project = farm ;")
    here = choice_of(None, None, ()).place(settings)
    assert (here.region, dict(here.options)) == ("eu-1", {"zones": "a,b", "project": "farm"})
    there = choice_of("gcp", "us-1", ("zones=c", "image=x=y")).place(settings)
    assert (there.region, dict(there.options)) == ("us-1", {"zones": "c", "project": "farm", "image": "x=y"})
    assert choice_of("gcp", None, ()).name(settings) == "gcp"
    assert choice_of(None, None, ()).name(settings) == "aws"


@pytest.mark.parametrize("text", ["s3cret", "=s3cret"])
def test_an_option_that_is_no_pair_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(click.BadParameter, match="NAME=VALUE") as caught:
        choice_of(None, None, (text,))
    with pytest.raises(UserError, match="BLENDNET_CLOUD_OPTIONS") as again:
        choice_of("aws", None, ()).place(Settings(cloud_options=text))
    assert "s3cret" not in caught.value.format_message() + str(again.value)


def test_settings_can_be_remembered_by_their_value() -> None:
    """The control worker keeps one farm for each of them."""
    assert hash(Settings(cloud_options="a=b")) == hash(Settings(cloud_options="a=b"))
