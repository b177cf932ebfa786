"""The user's preferences, from napari's settings, and the recent models."""

from __future__ import annotations

import json
from pathlib import Path

PLUGIN = "napari-integrated-cell"
_KEPT = 8
# The group of the manifest's ``configurations`` that a setting is in.
_GROUPS = {"model": "models", "device": "models", "reader": "files"}


def device() -> str:
    """Return the preferred device."""
    return _setting("device", "auto")


def model() -> str:
    """Return the preferred model: the name or path of a bundle."""
    return _setting("model", "demo")


def reader() -> str:
    """Return the library that reads files: "auto", "bioio" or "aicsimageio"."""
    return _setting("reader", "auto")


def _setting(name: str, default: str) -> str:
    """Return a setting of the manifest's ``configurations``. napari before 0.9 does not have them."""
    try:
        from napari.settings import get_plugin_settings

        value = getattr(getattr(get_plugin_settings(PLUGIN), _GROUPS[name]), name)
    except (ImportError, KeyError, AttributeError):
        return default
    return str(value).strip() or default


def recent_models() -> list[str]:
    """Return paths of recently opened bundles that still exist, the latest first."""
    try:
        paths = json.loads(_recent_file().read_text())
        return [p for p in paths if Path(p).exists()]
    except (OSError, ValueError, TypeError):
        return []


def remember_model(path: str) -> None:
    """Put a bundle first among the recent ones, if the list can be written."""
    kept = [path, *(p for p in recent_models() if p != path)][:_KEPT]
    file = _recent_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept))
    except OSError:
        return


def _recent_file() -> Path:
    from platformdirs import user_state_path

    return user_state_path(PLUGIN) / "recent_models.json"
