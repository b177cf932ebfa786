"""Set fields of the configuration from the command line: ``learning_rate=1e-3``, ``model.n_ref=32``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from napari_ic_train.config import TrainingConfig, validated


def overridden(config: TrainingConfig, settings: Iterable[str]) -> TrainingConfig:
    """Return a configuration with some fields changed.

    Parameters
    ----------
    config : TrainingConfig
        The configuration to change.
    settings : iterable of str
        Each is ``FIELD=VALUE``. A dot names a field within another one. The value is read as YAML.

    Raises
    ------
    ValueError
        If a setting is not such a pair, a field is unknown or a value is wrong. The sentence names the field.
    """
    fields: dict[str, Any] = config.model_dump()
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ValueError(f"{setting!r} sets no field: write FIELD=VALUE, for example learning_rate=1e-3.")
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
