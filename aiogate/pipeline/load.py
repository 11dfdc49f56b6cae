"""A config file to settings and a pipeline, whole or not at all; for ``serve`` and for reloads."""

from collections.abc import Mapping
from pathlib import Path

from aiogate.errors import PluginError, Problem, SettingsError
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.pipeline.run import Pipeline
from aiogate.settings.load import load_settings
from aiogate.settings.model import Settings
from aiogate.settings.origin import Origin

__all__ = ["build_pipeline", "load"]


def load(
    path: Path,
    environ: Mapping[str, str],
    installed: InstalledPlugins | None = None,
    workers: int | None = None,
    origin: Origin | None = None,
) -> tuple[Settings, Pipeline]:
    """Return what the file says and the pipeline that it asks for; raises ``SettingsError`` with every problem.

    ``workers`` takes the place of what it says of ``[server] workers``; 0: ``auto``. ``origin`` says where it
    came from.
    """
    installed = installed or InstalledPlugins()
    settings = load_settings(path, installed, environ, workers, origin)
    try:
        return settings, build_pipeline(settings, installed)
    except PluginError as error:
        raise SettingsError(str(path), [Problem("pipeline.plugins", str(error))]) from error


def build_pipeline(settings: Settings, installed: InstalledPlugins) -> Pipeline:
    """Build each plugin once from its own settings and compile their hooks; raises ``PluginError``."""
    plugins = {name: _build(name, installed.load(name), settings) for name in settings.pipeline.plugins}
    return Pipeline.of(plugins)


def _build(name: str, cls: type, settings: Settings) -> object:
    try:
        return cls(settings.plugins[name]) if getattr(cls, "Config", None) is not None else cls()
    except Exception as error:  # the border to plugins: what a constructor raises is one refused plugin
        raise PluginError(name, f"could not be built: {type(error).__name__}: {error}") from error
