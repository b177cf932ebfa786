"""Fields of the configuration from the command line: ``learning_rate=1e-3``, ``model.n_ref=32``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from napari_ic_train.config import TrainingConfig, validated


def overridden(config: TrainingConfig, settings: Iterable[str]) -> TrainingConfig:
    """The configuration with some fields set otherwise.

    Parameters
    ----------
    config : TrainingConfig
        Where to begin.
    settings : iterable of str
        ``FIELD=VALUE`` each; a field within another is reached by a dot, the value is read as YAML.

    Raises
    ------
    ValueError
        If a setting is no such pair, or a field is unknown or its value wrong; the sentence names the field.
    """
    fields: dict[str, Any] = config.model_dump()
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ValueError(f"{setting!r} sets nothing: write FIELD=VALUE, for example learning_rate=1e-3.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"The value of {path!r} cannot be read: {error}") from error
        *within, name = path.strip().split(".")
        place = fields
        for part in within:
            inner = place.get(part)
            if not isinstance(inner, dict):
                raise ValueError(f"The training configuration has no field '{path.strip()}'.")
            place = inner
        if name not in place:
            raise ValueError(f"The training configuration has no field '{path.strip()}'.")
        place[name] = value
    return validated(fields)
