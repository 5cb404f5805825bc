"""Where values of settings come from: what the caller says, then environment variables. No file is read."""

from __future__ import annotations

from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource


class _SetVariables(EnvSettingsSource):
    """The variables that are set, each with the text of one value.

    pydantic-settings' own source asks of every field what kind it is, to take values apart that hold others: there are
    none here, and it takes longer than all the rest.
    """

    def __call__(self) -> dict[str, Any]:
        variables = {name: f"{self.env_prefix}{name}".lower() for name in self.settings_cls.model_fields}
        return {name: self.env_vars[variable] for name, variable in variables.items() if variable in self.env_vars}


class Variables(BaseSettings):
    """Part of Settings."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _SetVariables(settings_cls)
